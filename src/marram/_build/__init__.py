"""The main job: contract in, proven bundles out. Wires the rooms; the public name is ``marram.build``."""
