"""Structure: a float Graph in, one of another architecture out that keeps (part of) its weights.

``groups`` finds channels that can only go together, ``cutting`` takes them out, ``skipping`` leaves spans of layers out,
``kernels`` crops kernels, ``downsampling`` shrinks the input, ``importance`` ranks channels and ``pruning`` chooses among them.
"""
