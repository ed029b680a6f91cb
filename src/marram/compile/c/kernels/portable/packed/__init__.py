"""Portable kernels whose weights stand two or four to a byte in flash and are unpacked in the inner loop."""
