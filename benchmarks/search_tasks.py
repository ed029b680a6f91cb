"""The search on four data sets: from a contract to the cheapest model that keeps it, beside the hand-made nets in int8.

    python benchmarks/search_tasks.py --data ../shared/data --out .bench/search [--tasks watch,digits,fashion,cifar10]

For each task a project is built whose contract asks for a search; a build that was killed goes on. Baselines are the zoo's nets
of MLPerf Tiny's shapes (DS-CNN, ResNet-8) or the watch template's net, trained by the same contract without a search and made
int8 by the same recipes. Accuracy is of the whole test part: CIFAR-10's and Fashion-MNIST's own, people and speakers that no
other part has elsewhere. Instructions, RAM and flash are of the Cortex-M4 program on the emulator: no MLPerf result.
The last column is the time of the search, training of supernet and models included, on this machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec

import marram
from marram.core.durable import write_atomically
from marram.report.record import BuildResult, TargetResult


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A data set with the contract's parts that belong to it."""

    title: str
    source: str
    data: str
    given: str
    training: str
    promises: str
    budget: str
    search: str


TASKS = {
    "watch": Task(
        title="watch, people unseen",
        source="zoo:conv1d",
        data='source = "recordings.npz"\nsplit_by = "subject"',
        given='kind = "imu"\nchannels = ["ax", "ay", "az", "gx", "gy", "gz"]\nrate_hz = 50\nwindow_s = 4.0\nstride_s = 1.0',
        training='epochs = 25\npatience = 8\naugmentation = "window_jitter"',
        promises="accuracy_min = 0.70\naccuracy_drop_max = 0.03",
        budget="latency_ms = 15\nram_kib = 8\nflash_kib = 32",
        search='families = ["zoo:conv1d"]\nepochs = 60\ntrials = 240\nfinalists = 6\nfinish_epochs = 25\n'
        "downsampling = [[1, 2]]\n[search.options.conv1d]\nwidth = 1.5",
    ),
    "digits": Task(
        title="spoken digits, speakers unseen",
        source="zoo:ds_cnn",
        data='source = "{data}/fsdd.zip"\nsplit_by = "speaker"\npattern = "{{label}}_{{speaker}}_{{index}}.wav"\n'
        "test_fraction = 0.33\nvalidation_fraction = 0.17",
        given='kind = "audio"\nrate_hz = 8000\nduration_s = 1.0\nmels = 32',
        training="epochs = 30\nlearning_rate = 0.002",
        promises="accuracy_min = 0.5\naccuracy_drop_max = 0.05",
        budget="latency_ms = 200\nram_kib = 32\nflash_kib = 64",
        search='families = ["zoo:ds_cnn"]\nepochs = 40\ntrials = 240\nfinalists = 5\nfinish_epochs = 20\n'
        "downsampling = [[2, 1], [1, 2]]",
    ),
    "fashion": Task(
        title="Fashion-MNIST",
        source="zoo:resnet8",
        data='source = "images"\nsplit_by = "given"\nvalidation_fraction = 0.05',
        given='kind = "image"\nsize_px = [28, 28]\nchannels = 1\nmean = [0.5]\nstd = [0.25]',
        training='epochs = 12\nbatch_size = 128\nprecision = "bfloat16"\nthreads = 2',
        promises="accuracy_min = 0.89\naccuracy_drop_max = 0.01",
        budget="latency_ms = 150\nram_kib = 48\nflash_kib = 128",
        search='families = ["zoo:resnet8"]\nepochs = 12\ntrials = 240\nfinalists = 5\nfinish_epochs = 6',
    ),
    "cifar10": Task(
        title="CIFAR-10",
        source="zoo:resnet8",
        data='source = "{data}/cifar10.zip"\nsplit_by = "given"\nvalidation_fraction = 0.05',
        given='kind = "image"\nsize_px = [32, 32]\nchannels = 3\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]',
        training='epochs = 40\nbatch_size = 128\naugmentation = "image_flip_crop"\nprecision = "bfloat16"\nthreads = 2\n'
        "learning_rate = 0.004",
        promises="accuracy_min = 0.83\naccuracy_drop_max = 0.01",
        budget="latency_ms = 300\nram_kib = 64\nflash_kib = 128",
        search='families = ["zoo:resnet8"]\nepochs = 24\ntrials = 240\nfinalists = 4\nfinish_epochs = 10\n'
        "[search.options.resnet8]\nchannels = 18\nblocks = 2",
    ),
}


def contract(name: str, task: Task, data: Path, *, search: bool) -> str:
    """The text of a task's contract."""
    parts = [
        f'[model]\nname = "{name}"\nversion = "1.0.0"\nsource = "{task.source}"',
        f"[data]\n{task.data.format(data=data.resolve())}",
        f"[input]\n{task.given}",
        f"[training]\n{task.training}",
        f"[promises]\n{task.promises}",
        f'[targets.core]\ndevice = "cortex-m4"\n{task.budget}',
    ]
    return "\n\n".join([*parts, f"[search]\n{task.search}"] if search else parts) + "\n"


def built(name: str, task: Task, arguments: argparse.Namespace, *, search: bool) -> tuple[BuildResult, float]:
    """The build of a task, and the seconds of its stages, those of earlier runs of this file included."""
    folder = arguments.out / (name if search else f"{name}-baseline")
    if not folder.exists() and name in {"watch", "fashion"}:
        marram.init(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "marram.toml", contract(name, task, arguments.data, search=search).encode())
    spent = folder / "seconds.txt"
    before = float(spent.read_text()) if spent.exists() else 0.0
    started, said = time.monotonic(), [""]

    def progress(what: str, part: float) -> None:
        if what != said[0]:
            said[0] = what
            print(f"{name} {time.monotonic() - started:7.0f} s {part:6.1%}  {what}", file=sys.stderr, flush=True)

    result = marram.build(folder, progress=progress)
    seconds = before + sum(stage.seconds for stage in result.stages if not result.up_to_date)
    write_atomically(spent, str(seconds).encode())
    return result, seconds


def row(title: str, target: TargetResult, seconds: float | None) -> str:
    """A line of the table."""
    figures = {figure.name: figure for figure in target.evidence.figures}
    accuracy = figures["accuracy"]
    interval = f"{100 * accuracy.value:5.2f} ({100 * accuracy.low:.2f} to {100 * accuracy.high:.2f})"
    instructions, ram, flash = (figures[name].value for name in ("instructions", "ram_bytes", "flash_bytes"))
    kept = "yes" if all(verdict.kept is True for verdict in target.verdicts) else "no"
    spent = "" if seconds is None else f"{seconds / 60:.0f} min"
    return f"{title:44} {interval:24} {instructions:12,.0f} {ram:9,.0f} {flash:9,.0f}  {kept:4} {spent}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default=",".join(TASKS))
    arguments = parser.parse_args()
    lines = []
    for name in arguments.tasks.split(","):
        task = TASKS[name]
        searched, seconds = built(name, task, arguments, search=True)
        plain, _ = built(name, task, arguments, search=False)
        float_accuracy = plain.baseline.figure("accuracy").value if plain.baseline else float("nan")
        lines.append(f"{task.title}; the hand-made net in float: {100 * float_accuracy:.2f} %")
        lines.append(row(f"  {task.source}, int8, by hand", plain.targets[0], None))
        lines.append(row("  found by the search", searched.targets[0], seconds))
        for attempt in searched.targets[0].attempts:
            fate = "chosen" if attempt.chosen else "kept everything" if attempt.kept else "broke something"
            lines.append(f"    {attempt.title:40} {100 * (attempt.accuracy or 0):5.2f}  flash {attempt.size_bytes:,} B  {fate}")
    print(f"{'':44} {'accuracy, % (95 %)':24} {'instructions':>12} {'RAM, B':>9} {'flash, B':>9}  kept  search")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
