"""How a check on a restored database runs: one session, a deadline, and an `error` for whatever keeps it from running.

Invariant: what a server says in an error is not passed on, only its SQLSTATE and the objects it names.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from verifiers.postgres.session import connect, describe
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHOWN = 50  # names in a check; the counts tell how many there are


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look found: the parts of a Check that differ."""

    verdict: Verdict
    expected: Any
    observed: Any
    message: str


def examine(
    check_id: str,
    level: Assurance,
    conninfo: str,
    deadline_s: float,
    look: Callable[[psycopg.Connection[Any]], Outcome],
) -> Check:
    """Return the check that `look` gives in a pinned session, or its `error`."""
    started = time.monotonic()
    try:
        with connect(conninfo, statement_timeout_s=deadline_s) as session:
            outcome = look(session)
    except (psycopg.Error, UnicodeDecodeError) as error:
        reason = (
            describe(error) if isinstance(error, psycopg.Error) else "a name is not valid in the database's encoding"
        )
        verdict = Verdict.FAIL if is_damage(error) else Verdict.ERROR
        said = "The restored database is damaged" if verdict is Verdict.FAIL else "Could not be checked"
        outcome = Outcome(verdict, None, None, f"{said}: {reason}.")
    duration_s = time.monotonic() - started
    return Check(check_id, level, outcome.verdict, outcome.expected, outcome.observed, outcome.message, duration_s)


def is_damage(error: Exception) -> bool:
    """Whether an error is the server's own finding that data or an index are damaged, or a file is gone."""
    return isinstance(
        error,
        psycopg.errors.DataCorrupted | psycopg.errors.IndexCorrupted | psycopg.errors.UndefinedFile,
    )


def named(names: Sequence[str], limit: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
