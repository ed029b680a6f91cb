"""Readers: one file for each kind of source, each from files to a Dataset."""
