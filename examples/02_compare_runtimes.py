"""Which runtime is fastest for a model on this machine? Measured interleaved, with parity against the reference.

python examples/02_compare_runtimes.py [MODEL.onnx|MODEL.tflite]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import marram
from marram.compress import quantise
from marram.model import load, save, zoo

if len(sys.argv) > 1:
    path = Path(sys.argv[1])
else:  # none at hand: the zoo's ResNet-8 with random weights, in int8
    module = zoo.make("resnet8", input_shape=(32, 32, 3), classes=10).eval()
    graph = load(module, example=np.zeros((1, 32, 32, 3), np.float32))
    samples = np.random.default_rng(0).standard_normal((32, 32, 32, 3)).astype(np.float32)
    path = save(quantise(graph, samples), Path(tempfile.mkdtemp()) / "resnet8.tflite")

result = marram.bench(path, calls=200)
print(f"{result.model} on {result.on}: {result.macs:,} MACs")
for row in result.rows:
    parity = "" if row.parity is None else f"{row.parity.differing} of {row.parity.elements} outputs differ from the reference"
    print(f"{row.runtime:<12} {row.precision:<8} median {row.p50_us:8.1f} us  p90 {row.p90_us:8.1f} us  {parity}")
