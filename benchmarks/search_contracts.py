"""Sixty contracts and more with random budgets: does every model that a search returns keep every budget, measured again?

    python benchmarks/search_contracts.py --data ../shared/data --out .bench/search [--contracts 60] [--tasks watch,digits]

Each contract names one of the tasks of ``search_tasks.py``, a Cortex-M core and budgets of RAM, flash and latency drawn
around what the net made by hand costs: from a twentieth of it, which no part of the space may meet, to all of it. The
supernet of a task serves all its contracts. A returned model counts when ``marram verify`` finds every budget kept on the
emulated core; an answer that a budget cannot be met counts when the bound or the nearest part that it names is above the
budget. Results are kept by contract, so a run that was stopped goes on. Models are finished for few epochs: this is about
budgets, not about accuracy.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
from search_tasks import TASKS, Task, contract

import marram
from marram.core.durable import write_atomically
from marram.report.record import BuildResult

CORES = ("cortex-m4", "cortex-m0", "cortex-m7", "cortex-m55")
BY_HAND = {  # about what the nets made by hand cost: milliseconds on each core, KiB of RAM, KiB of flash
    "watch": ({"cortex-m4": 6.0, "cortex-m0": 30.0, "cortex-m7": 2.0, "cortex-m55": 2.0}, 5.0, 18.0),
    "digits": ({"cortex-m4": 150.0, "cortex-m0": 700.0, "cortex-m7": 50.0, "cortex-m55": 40.0}, 20.0, 40.0),
    "fashion": ({"cortex-m4": 150.0, "cortex-m0": 700.0, "cortex-m7": 50.0, "cortex-m55": 40.0}, 24.0, 100.0),
    "cifar10": ({"cortex-m4": 200.0, "cortex-m0": 900.0, "cortex-m7": 60.0, "cortex-m55": 50.0}, 32.0, 110.0),
}
SHORT = {"trials": 48, "population": 12, "finalists": 1, "finish_epochs": 1}


def budgets(name: str, generator: np.random.Generator) -> tuple[str, str]:
    """A core and its budgets as the contract has them; one or two of the three limits may be left out."""
    latency, ram, flash = BY_HAND[name]
    core = str(generator.choice(CORES))
    limits = {"latency_ms": latency[core], "ram_kib": ram, "flash_kib": flash}
    kept = generator.choice(list(limits), generator.integers(1, 4), replace=False)
    shares = {key: float(np.exp(generator.uniform(np.log(0.05), np.log(1.0)))) for key in sorted(kept)}
    return core, "\n".join(f"{key} = {limits[key] * share:.4g}" for key, share in shares.items())


def shortened(text: str) -> str:
    """The contract with a short search."""
    for key, value in SHORT.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE) if f"\n{key} =" in text else text
    return text if "\npopulation =" in text else text.replace("\ntrials =", f"\npopulation = {SHORT['population']}\ntrials =")


def outcome(result: BuildResult, folder: Path) -> dict[str, object]:
    """What became of a contract, and whether it counts."""
    (target,) = result.targets
    budget_keys = ("latency_ms", "ram_kib", "flash_kib")
    verdict = result.search.verdicts[target.name] if result.search else None
    if verdict is not None:
        checked = (
            verdict.bound > verdict.budget if verdict.kind == "proven" else verdict.nearest[verdict.binding[0]] > verdict.budget
        )
        return {"answer": verdict.kind, "counts": bool(checked), "why": verdict.why}
    again = marram.verify(folder / target.bundle)
    held = {row.promise: row.kept for row in again.verdicts if row.promise in budget_keys}
    searched = any(model.fates.get(target.name) == "chosen" for model in (result.search.models if result.search else ()))
    return {
        "answer": "model" if searched else "none kept its promises",
        "counts": all(held.values()) if searched else True,
        "held": held,
    }


def run(number: int, name: str, task: Task, arguments: argparse.Namespace) -> dict[str, object]:
    """One contract, from its kept result if there is one."""
    kept = arguments.out / "contracts" / f"{number:03}-{name}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    folder = arguments.out / name
    core, limits = budgets(name, np.random.default_rng([number, 7]))
    text = shortened(contract(name, task, arguments.data, search=True))
    text = (
        text.replace('device = "cortex-m4"', f'device = "{core}"')
        .replace(task.budget, limits)
        .replace(task.promises, "accuracy_drop_max = 0.9")
    )
    if not folder.exists() and name in {"watch", "fashion"}:
        marram.init(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "marram.toml", text.encode())
    started = time.monotonic()
    result = marram.build(folder)
    found = outcome(result, folder) | {"core": core, "limits": limits.splitlines(), "seconds": time.monotonic() - started}
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, json.dumps(found).encode())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--contracts", type=int, default=60)
    parser.add_argument("--tasks", default="watch,watch,watch,digits,digits,fashion,cifar10", help="taken in turn")
    arguments = parser.parse_args()
    names = arguments.tasks.split(",")
    found = []
    for number in range(arguments.contracts):
        name = names[number % len(names)]
        one = run(number, name, TASKS[name], arguments)
        print(f"{number:3} {name:8} {one}", file=sys.stderr, flush=True)
        found.append(one)
    answers = {
        answer: [one for one in found if one["answer"] == answer]
        for answer in dict.fromkeys(str(one["answer"]) for one in found)
    }
    for answer, rows in answers.items():
        print(f"{answer:24} {len(rows):3} contracts, {sum(bool(row['counts']) for row in rows):3} as they should be")
    print(f"all {sum(bool(one['counts']) for one in found)} of {len(found)}")


if __name__ == "__main__":
    main()
