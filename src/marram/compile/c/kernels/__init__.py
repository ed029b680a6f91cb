"""Kernel families: a package each, an operator a file, as their headers in firmware/kernels."""
