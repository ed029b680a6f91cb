"""A contract of your own: recordings from a Python function, people split, a torch module of yours, a bundle, an answer.

python examples/03_your_own_sensor.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np

import marram
import marram.bundle
import marram.runtime

CONTRACT = """
[model]
name = "knock"
version = "0.1.0"
source = "knock.py:net"

[data]
source = "knock.py:recordings"
split_by = "person"
test_fraction = 0.34
validation_fraction = 0.2

[input]
kind = "imu"
channels = ["x", "y", "z"]
rate_hz = 50
window_s = 1.0

[training]
epochs = 30
batch_size = 16
learning_rate = 0.01

[promises]
accuracy_min = 0.8
accuracy_drop_max = 0.2

[targets.here]
device = "host"
size_kib = 64
"""

SOURCE = '''
import numpy as np
import torch


def recordings():
    """Six people knock on a table, or stroke it: made up here, read from your files in real life."""
    rng = np.random.default_rng(0)
    made = []
    for person in range(6):
        for kind in ("knock", "stroke"):
            signal = 0.05 * rng.standard_normal((1500, 3)).astype(np.float32)
            if kind == "knock":
                signal[rng.integers(0, 1500, 60), 2] += rng.uniform(1.0, 2.0)
            else:
                signal[:, 0] += np.sin(np.arange(1500) / rng.uniform(6, 9))
            made.append({"signal": signal, "label": kind, "person": f"person-{person}", "name": f"{kind}-{person}"})
    return made


class Net(torch.nn.Module):
    """Samples come channels last, (batch, time, channels); torch's convolution wants channels first."""

    def __init__(self, channels, classes):
        super().__init__()
        self.conv = torch.nn.Conv1d(channels, 8, 5, padding=2)
        self.head = torch.nn.Linear(8, classes)

    def forward(self, x):
        x = torch.relu(self.conv(x.transpose(1, 2)))
        return self.head(x.mean(dim=2))


def net(input_shape, classes):
    return Net(input_shape[1], classes)
'''

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "knock")
folder.mkdir(parents=True, exist_ok=True)
(folder / "marram.toml").write_text(CONTRACT)
(folder / "knock.py").write_text(SOURCE)

result = marram.build(folder)
for verdict in result.targets[0].verdicts:
    print(f"{verdict.promise}: {'kept' if verdict.kept else 'not kept'}")

trust = (marram.bundle.public_key(folder / "dist" / "signing.pub"),)
with marram.runtime.Engine(marram.bundle.open(folder / "dist" / "here.mrm", trust)) as engine:
    window = np.zeros((50, 3), np.float32)
    window[:, 0] = np.sin(np.arange(50) / 7)
    print("answer:", engine.predict(window).label)
