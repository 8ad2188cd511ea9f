"""The user's own assertions: SQL that must be true of the restored data, equal a value, or lie within a range.

Invariant: each runs in a read-only transaction of its own under a deadline, and nothing of its answer is told but a
boolean or a number; a text is compared and not repeated, for it may be a row's.
"""

from __future__ import annotations

import decimal
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg

from verifiers.postgres.session import connect, describe, limit_statements
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

Number: TypeAlias = int | float
_WHOLE = 1 << 63  # what a record can hold as a whole number is smaller


@dataclass(frozen=True, slots=True)
class Assertion:
    """What must hold. query: one statement that gives one row of one column.

    expect: True or False, a number, or a text that the answer equals; None where it lies within least..most, either of
    which may be None.
    """

    name: str
    query: str
    expect: bool | Number | str | None = True
    least: Number | None = None
    most: Number | None = None

    @property
    def expected(self) -> Any:  # noqa: ANN401 -- a JSON value
        """What the answer is held against, as the record says it."""
        return {"min": self.least, "max": self.most} if self.expect is None else self.expect


class NoAnswerError(Exception):
    """The statement gave no single value of a kind that can be compared; the message says what it gave."""


def assertions(conninfo: str, asserted: Sequence[Assertion], *, deadline_s: float) -> Check:
    """`assertions` (sound): fail if one does not hold, error if one gives no answer that can be compared.

    deadline_s: seconds for all of them together.
    """
    ends = time.monotonic() + deadline_s
    observed: dict[str, Any] = {}
    failed, unanswered = [], []
    for one in asserted:
        try:
            answer = ask(conninfo, one.query, max(1.0, ends - time.monotonic()))
            holds, told = _hold(one, answer)
        except (psycopg.Error, NoAnswerError) as error:
            why = describe(error) if isinstance(error, psycopg.Error) else str(error)
            observed[one.name] = None
            unanswered.append(f"{one.name}: {why}")
            continue
        observed[one.name] = told
        if not holds:
            failed.append(f"{one.name} (expected {one.expected}, found {told})")
    expected = {one.name: one.expected for one in asserted}
    if failed:
        said = f"{len(failed)} of {len(asserted)} assertions do not hold: {'; '.join(failed)}."
        return Check("assertions", Assurance.SOUND, Verdict.FAIL, expected, observed, said)
    if unanswered:
        said = f"{len(unanswered)} of {len(asserted)} assertions gave no answer: {'; '.join(unanswered)}."
        return Check("assertions", Assurance.SOUND, Verdict.ERROR, expected, observed, said)
    said = f"All {len(asserted)} assertions hold on the restored data."
    return Check("assertions", Assurance.SOUND, Verdict.PASS, expected, observed, said)


def ask(conninfo: str, query: str, seconds: float) -> Any:  # noqa: ANN401 -- whatever the statement gives
    """Return the one value that a query of the user's gives, read-only. Raises psycopg.Error, NoAnswerError."""
    with connect(conninfo) as session:
        limit_statements(session, seconds)
        # pg_catalog comes first all the same; what lies in other schemas is named with them
        session.execute("SELECT pg_catalog.set_config('search_path', 'public', false)")
        session.execute("SET default_transaction_read_only = on")
        cursor = session.execute(query.encode(), prepare=True)  # prepared: one statement, and not two
        if cursor.description is None or len(cursor.description) != 1:
            raise NoAnswerError(f"it gave {len(cursor.description or ())} columns, not one")
        rows = cursor.fetchmany(2)
        if len(rows) != 1:
            raise NoAnswerError("it gave no row" if not rows else "it gave more than one row")
        return rows[0][0]


def _hold(asserted: Assertion, answer: Any) -> tuple[bool, bool | Number]:  # noqa: ANN401 -- of the database
    """Return whether it holds, and what may be told of the answer. Raises NoAnswerError for another kind of value."""
    if answer is None:
        raise NoAnswerError("it gave NULL, which is neither true nor a value")
    expect = asserted.expect
    if isinstance(expect, bool):
        if not isinstance(answer, bool):
            raise NoAnswerError("it gave no boolean")
        return answer is expect, answer
    if isinstance(expect, str):
        if not isinstance(answer, str):
            raise NoAnswerError("it gave no text")
        return answer == expect, answer == expect
    if isinstance(answer, bool) or not isinstance(answer, int | float | decimal.Decimal):
        raise NoAnswerError("it gave no number")
    if not math.isfinite(answer):
        raise NoAnswerError("it gave a number that is not finite")
    told = _told(answer)
    if expect is not None:
        return answer == expect, told
    low = asserted.least is None or answer >= asserted.least
    high = asserted.most is None or answer <= asserted.most
    return low and high, told


def _told(value: Number | decimal.Decimal) -> Number:
    """Return the number as a record can hold it: whole and of 64 bits, else a float."""
    if not isinstance(value, float) and -_WHOLE <= value < _WHOLE and value == int(value):
        return int(value)
    try:
        told = float(value)
    except OverflowError:
        told = math.inf
    if not math.isfinite(told):
        raise NoAnswerError("it gave a number too large to record")
    return told
