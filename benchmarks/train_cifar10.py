"""Trains the zoo's ResNet-8 on CIFAR-10 and prints its accuracy on the test images.

    python benchmarks/train_cifar10.py --data ../shared/data/cifar10.zip --out .bench/cifar10

The zip holds ``train/<class>/NNNN.jpg`` and ``test/<class>/NNNN.jpg``. 2,500 training images choose the epoch, the test
images are looked at once, at the end, in float32. Pixels enter as ``(x / 255 - 0.5) / 0.25``. Killed and started again it
goes on from the last epoch.
Peer: MLPerf Tiny's reference of the same network, 86.5 % float (Banbury et al. 2021, on the original, not JPEG, images).
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from marram.core.durable import write_atomically
from marram.model import zoo
from marram.model.training import ArrayExamples, TrainingSettings, evaluate, train

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HELD_OUT = 2500


def preprocess(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(np.float32) / 255 - 0.5) / 0.25


def decode(path: Path, cache: Path) -> dict[str, np.ndarray]:
    """Images and labels of both parts; decoded once, then kept in ``cache``."""
    if not cache.exists():
        arrays = {}
        with zipfile.ZipFile(path) as archive:
            for part in ("train", "test"):
                names = sorted(name for name in archive.namelist() if name.startswith(part + "/") and name.endswith(".jpg"))
                arrays[part] = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names])
                arrays[part + "_labels"] = np.array([CLASSES.index(name.split("/")[1]) for name in names], np.int64)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(cache, buffer.getvalue())
    with np.load(cache) as stored:
        return dict(stored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    arguments = parser.parse_args()
    arrays = decode(arguments.data, arguments.out / "decoded.npz")
    order = np.random.default_rng(0).permutation(len(arrays["train"]))
    training = ArrayExamples(arrays["train"], arrays["train_labels"])
    settings = TrainingSettings(
        epochs=arguments.epochs,
        batch_size=128,
        optimiser="sgd",
        learning_rate=0.2,
        weight_decay=2e-4,
        schedule="cosine",
        warmup=0.1,
        augmentation="image_flip_crop",
        precision=arguments.precision,
    )
    model = zoo.make("resnet8", input_shape=(32, 32, 3), classes=len(CLASSES), seed=0)
    started, said = time.monotonic(), [""]

    def progress(what: str, part: float) -> None:
        if what != said[0]:
            said[0] = what
            print(f"{time.monotonic() - started:7.0f} s  {part:6.1%}  {what}", file=sys.stderr, flush=True)

    result = train(
        model,
        training.subset(order[HELD_OUT:]),
        training.subset(order[:HELD_OUT]),
        settings,
        preprocess=preprocess,
        checkpoint=arguments.out / "checkpoint.pt",
        progress=progress,
    )
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    write_atomically(arguments.out / "resnet8.pt", buffer.getvalue())
    exact = TrainingSettings(batch_size=256)
    test = evaluate(model, ArrayExamples(arrays["test"], arrays["test_labels"]), exact, preprocess=preprocess)
    print(f"held-out accuracy {result.best_metric:.4f} at epoch {result.best_epoch} of {result.epochs_run}")
    print(f"test accuracy {test.metric:.4f} on {test.examples} images (float32)")


if __name__ == "__main__":
    main()
