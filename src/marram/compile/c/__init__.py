"""C source for microcontrollers and native libraries, made from an integer Graph ahead of time.

The path of a model: ``lowering`` (the Graph without what moves nothing), ``layers`` (nodes and values), ``families`` (which
kernels serve which node), ``compile.memory`` (one arena), ``emission`` (the text). ``generation.generate`` walks it.
"""
