"""Any torch module becomes an int8 model: import, quantise, look at the damage, save for every runtime.

python examples/01_quantise_any_model.py OUT_FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import torch

from marram.compress import damage, fold, quantise
from marram.model import describe, interpret, load, save

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
torch.manual_seed(0)
rng = np.random.default_rng(0)

# A module of your own; marram's data is channels last, torch's convolutions are not.
module = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
    torch.nn.BatchNorm2d(8),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(8, 4),
).eval()
graph = load(module, example=np.zeros((1, 3, 16, 16), np.float32), name="tiny")
print(describe(graph))

# Calibration samples decide the ranges of the activations; they must look like what the device will see.
shape = graph.input_tensors[0].shape[1:]
samples = rng.standard_normal((128, *shape)).astype(np.float32)
integer = quantise(graph, samples)
for layer in damage(fold(graph), integer, samples):
    print(f"{layer.node:<12} {layer.operator:<12} {layer.sqnr_db:6.1f} dB")

# The integer reference says what every runtime should answer.
scale = integer.input_tensors[0].quantisation
assert scale is not None
batch = np.clip(np.round(samples[:8] / scale.scale) + scale.zero_point, -128, 127).astype(np.int8)
(answers,) = interpret(integer, batch)
print("classes:", answers.argmax(axis=1))

for name in ("tiny.tflite", "tiny.onnx"):
    path = save(integer, out / name)
    print(f"{path}: {path.stat().st_size} bytes")
