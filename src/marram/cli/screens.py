"""What commands show on the screen for people, where they were not asked for JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from marram.cli.output import errors, screen
from marram.cli.tables import attempt_table, plain_table, verdict_table

if TYPE_CHECKING:
    from marram._build.benchmarking import BenchResult
    from marram._build.compiling import CompileResult
    from marram._build.core_benchmarking import CoreBenchResult, Sized
    from marram._build.memories import Spread
    from marram._build.streams import StreamRecord
    from marram.report.record import BuildResult


def show_build(result: BuildResult) -> None:
    """A build: verdicts, what was tried, bundles, report."""
    folder = Path(result.folder)
    for target in result.targets:
        title = f"[bold]{escape(target.name)}[/] ({target.device}: {target.runtime}, {target.precision})"
        screen.print(verdict_table(target.verdicts, title=title))
        screen.print()
        screen.print(attempt_table(target.attempts))
        screen.print(f"bundle: {escape(str(folder / target.bundle))} ({target.bundle_bytes / 1024:.1f} KiB)\n")
    for mark in result.marks:
        screen.print(f"[yellow]note:[/] {escape(mark)}")
    screen.print(f"report: {escape(str(folder / result.report))}")
    if result.up_to_date:
        screen.print("Nothing has changed since the last build, so nothing was done.")
    broken = sum(verdict.kept is not True for target in result.targets for verdict in target.verdicts)
    screen.print("[green]All promises are kept.[/]" if result.kept else f"[bold red]{broken} not kept.[/]")


def show_compiled(result: CompileResult) -> None:
    """What ``marram compile`` or ``marram export`` wrote."""
    rows = [
        (layer.name, layer.node, f"{layer.macs:,}", f"{layer.weight_bytes:,}", f"{layer.scratch_bytes:,}")
        for layer in result.layers
    ]
    title = f"{escape(result.name)} for {result.device}, kernel family {result.family}"
    screen.print(plain_table(("layer", "node", "MACs", "weights B", "scratch B"), rows, title=title))
    screen.print(
        f"arena {result.arena_bytes:,} B of RAM; weights {result.weight_bytes:,} B and tables {result.table_bytes:,} B of flash"
    )
    if result.stream is not None:
        _show_stream(result.stream)
    if result.forecast is not None:
        sizes = f"flash {result.forecast.flash_bytes:,} B, RAM {result.forecast.ram_bytes:,} B"
        stack = f"stack {result.forecast.stack_bytes:,} B"
        screen.print(f"smallest application by {escape(result.forecast.compiler)}: {sizes}, {stack}")
    if result.spread is not None:
        show_spread(result.spread)
    for line in result.explanation:
        screen.print(escape(line))
    for file in result.files:
        screen.print(escape(str(Path(result.folder) / file)), soft_wrap=True)


def show_spread(spread: Spread) -> None:
    """What stands in which of several memories."""
    rows = [
        (
            memory.name,
            f"{memory.size_bytes:,}",
            f"{memory.byte_cost:g}",
            f"{memory.arena_bytes:,}",
            f"{memory.copied_bytes:,}",
            ", ".join(stand.name for stand in spread.stands if stand.memory == memory.name and stand.kind == "copy"),
        )
        for memory in spread.memories
    ]
    screen.print(plain_table(("memory", "bytes", "cycles a byte", "arena B", "constants B", "constants of"), rows))
    waits = f"{spread.wait_cycles:,.0f} cycles, {spread.slowest_wait_cycles:,.0f} with all in the slowest and no copies"
    screen.print(f"estimated waiting for memory in a run: {waits}")


def _show_stream(stream: StreamRecord) -> None:
    """What is pushed, kept and saved."""
    screen.print(
        f"a push takes {stream.rows} rows of a window of {stream.window_rows}; the first answer comes with push "
        f"{stream.warm_up_pushes}; state {stream.state_bytes:,} B of RAM for each stream"
    )
    share = f" ({100 * stream.macs / stream.window_macs:.1f} %)" if stream.window_macs else ""
    screen.print(f"a push has {stream.macs:,} MACs, a whole window {stream.window_macs:,}{share}")
    if stream.padded:
        screen.print("layers pad along time: rows near the window's ends are made anew at each push, as they are in the window")


def show_bench(result: BenchResult) -> None:
    """A model on the runtimes of this machine."""
    headings = ("runtime", "precision", "p50 µs", "p90 µs", "p99 µs", "memory MiB", "size KiB", "differing / outputs")
    rows = [
        (
            row.runtime,
            row.precision,
            f"{row.p50_us:.1f}",
            f"{row.p90_us:.1f}",
            f"{row.p99_us:.1f}",
            f"{row.memory_mib:.1f}",
            f"{row.size_bytes / 1024:.1f}",
            "-" if row.parity is None else f"{row.parity.differing} / {row.parity.elements}",
        )
        for row in result.rows
    ]
    screen.print(plain_table(headings, rows, title=f"{result.model} on {result.on}"))
    for remark in result.remarks:
        errors.print(f"note: {escape(remark)}")


def show_core_bench(result: CoreBenchResult) -> None:
    """A model as C on an emulated core."""
    rows = [
        (
            row.name,
            f"{row.macs:,}",
            f"{row.instructions:,}",
            f"{row.instructions / row.macs:.2f}" if row.macs else "",
            f"{100 * row.instructions / max(result.instructions, 1):.1f} %",
        )
        for row in result.layers
    ]
    title = f"{escape(result.model)} on emulated {result.core} ({result.machine}), kernel family {result.family}"
    screen.print(plain_table(("layer", "MACs", "instructions", "per MAC", "share"), rows, title=title))
    per_mac = f"{result.instructions_per_mac:.3f} for each of {result.macs:,} MACs"
    screen.print(f"instructions {result.instructions:,}: {per_mac}")
    for name, size in (("RAM", result.ram_bytes), ("flash", result.flash_bytes), ("stack", result.stack_bytes)):
        screen.print(f"{name} {_sized(size)}")
    screen.print(f"arena {result.arena_bytes:,} B of the RAM; weights {result.weight_bytes:,} B of the flash")
    if result.spread is not None:
        show_spread(result.spread)
    for figure in result.figures:
        if figure.kind == "estimated" and figure.value is not None:
            screen.print(f"{figure.name} {figure.value:.0f} {figure.unit} ({figure.low:.0f} to {figure.high:.0f}), estimated")
    if result.stream is not None:
        _show_stream(result.stream.record)
        whole = result.stream.window_instructions
        screen.print(f"a push has {result.instructions:,} instructions, a whole window {whole:,}")
    parity = [(row.runtime, str(row.vectors), str(row.elements), str(row.differing)) for row in result.parity]
    screen.print(plain_table(("parity with the reference", "vectors", "outputs", "differing"), parity))
    for remark in result.remarks:
        errors.print(f"note: {escape(remark)}")


def _sized(size: Sized) -> str:
    return f"{size.measured:,} B measured, {size.predicted:,} B predicted"
