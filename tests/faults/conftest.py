"""The fixture `caught`, and the table of the fault matrix at the end of a run: see matrix.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.catching import PROPERTY, Caught, Collected

if TYPE_CHECKING:
    from collections.abc import Iterable

_HERE = Path(__file__).parent
_COLLECTED = pytest.StashKey[Collected]()


@pytest.fixture
def caught(request: pytest.FixtureRequest) -> Caught:
    """Assert that a fault was caught, and enter it in the matrix."""
    return Caught(request.node)


def pytest_configure(config: pytest.Config) -> None:
    """Collect in the process that reports; workers send their cells with each report."""
    if not hasattr(config, "workerinput"):
        collected = config.stash[_COLLECTED] = Collected()
        config.pluginmanager.register(_Reports(collected), "fault-matrix")


class _Reports:
    def __init__(self, collected: Collected) -> None:
        self._collected = collected

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the cells of tests that passed, wherever they ran."""
        if report.when == "call" and report.passed:
            self._collected.take(_pairs(report.user_properties))
        if report.skipped and report.nodeid.startswith("tests/faults/"):
            self._collected.skipped += 1


def _pairs(properties: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return [(name, value) for name, value in properties if name == PROPERTY]


def _whole(config: pytest.Config) -> bool:
    """Say whether all of this folder was asked for: by its name or a parent's, without a choice among its tests."""
    chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "lf", "deselect", "collectonly"))
    named = [Path(config.invocation_params.dir, argument).resolve() for argument in config.args]
    return not chosen and any(path == _HERE or path in _HERE.parents for path in named)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A gap is a failure, unless a test was skipped for what this machine lacks; on CI nothing may be lacking."""
    collected = session.config.stash.get(_COLLECTED, None)
    if collected is None or not _whole(session.config) or exitstatus != pytest.ExitCode.OK:
        return
    if collected.gaps and (not collected.skipped or os.environ.get("CI")):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table where a fault was caught."""
    collected = config.stash.get(_COLLECTED, None)
    if collected is None or not (collected.cells or _whole(config)):
        return
    terminalreporter.section("fault matrix")
    for line in collected.lines():
        terminalreporter.write_line(line)
    if _whole(config):
        for gap in collected.gaps:
            terminalreporter.write_line(f"gap: {gap}", red=True)
        if collected.skipped:
            terminalreporter.write_line(f"{collected.skipped} tests of faults were skipped; what they prove is not")
