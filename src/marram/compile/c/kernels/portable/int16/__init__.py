"""Portable kernels beside int16 activations: weights stay int8, accumulators have 64 bits and are rounded once."""
