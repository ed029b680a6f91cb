"""marram: machine learning at the edge, with a contract.

Names are handed on lazily, so that a light room stays light: ``import marram`` imports nothing heavy.
"""
