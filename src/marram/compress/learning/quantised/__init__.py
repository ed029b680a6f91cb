"""Quantisation-aware training: an integer Graph is executed in torch, bit for bit, and learns through its roundings.

Importing this room's ``training`` does not import torch; its other modules do, but for ``ties`` and ``legality``.
"""
