"""The report in headless Chromium: no console message, no network, all parts there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("built")  # one worker makes the project that all of these look at


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "no browser: run scripts/system-packages browser"
    return found


def open_page(path: Path, profile: Path) -> tuple[str, str]:
    """The page as the browser made it, and what it logged."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}"]
    run = subprocess.run(
        [browser(), *flags, "--virtual-time-budget=4000", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout, run.stderr


def test_report_opens_without_a_console_message(built_project: Path, tmp_path: Path) -> None:
    document, log = open_page(built_project / "dist" / "report.html", tmp_path / "profile")
    assert not [line for line in log.splitlines() if "CONSOLE" in line]
    for section in ("promises", "accuracy", "quantisation", "cost", "data", "model", "lineage"):
        assert f'<section id="{section}">' in document
    assert document.count("<svg") >= 7
    assert not re.search(r"""(src|href)=["'](https?:)?//""", document), "the report must not reach for the network"


def test_the_console_is_really_listened_to(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<script>console.error('seen'); undefinedFunction()</script>")
    _, log = open_page(page, tmp_path / "profile")
    assert len([line for line in log.splitlines() if "CONSOLE" in line]) == 2
