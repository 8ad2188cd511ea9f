"""What a locale that the sandbox lacks can explain: such a difference is no finding about the backup, but an error.

Invariant: only a failed check whose every difference the locale can explain becomes an error; any other stays failed,
and nothing ever becomes a pass. A locale can explain rows that a constraint or partition refused (class 23514) with the
foreign keys that then had nothing to refer to, and other values in stored generated columns. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from verifiers.postgres.outcome import SHOWN
from verifiers.postgres.restore import Kind
from verifiers.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from verifiers.postgres.restore import Message
    from verifiers.result import Check

_REFUSED, _UNREFERRED = "23514", "23503"


@dataclass(frozen=True, slots=True)
class LackingLocale:
    """A restore into another locale than the source's.

    refused: names of tables that lost rows by it. unreferred: how many foreign keys were not made then. generated:
    tables with stored generated columns, qualified and quoted as in a manifest.
    """

    locale: str
    refused: Collection[str]
    unreferred: int
    generated: Collection[str]
    explains_messages: bool

    @classmethod
    def of(cls, locale: str, messages: Sequence[Message], generated: Collection[str]) -> LackingLocale:
        """Look at what the restore said. generated: as the attribute."""
        defects = [message for message in messages if message.kind is Kind.KNOWN and not message.sandbox]
        refusals = {message.object or "" for message in defects if message.sqlstate == _REFUSED}
        states = {message.sqlstate for message in defects} | {m.kind for m in messages if m.kind is Kind.FATAL}
        explained = bool(refusals) and states <= {_REFUSED, _UNREFERRED}
        return cls(
            locale,
            frozenset(name.removeprefix("TABLE DATA ").removeprefix("TABLE ") for name in refusals),
            len({message.object for message in defects if message.sqlstate == _UNREFERRED}) if explained else 0,
            frozenset(generated),
            explained,
        )

    def judge(self, check: Check) -> Check:
        """Return the check, turned from a failure into an error if the locale can explain it."""
        observed = check.observed if isinstance(check.observed, dict) else {}
        if check.verdict is not Verdict.FAIL or not self._explains(check.id, observed):
            return check
        message = (
            f"The sandbox lacks the locale {self.locale} of the source, which can explain this: {check.message} "
            "Install the locale (such as with `locale-gen`), then drill again."
        )
        return replace(check, verdict=Verdict.ERROR, message=message)

    def _explains(self, check_id: str, observed: dict[str, Any]) -> bool:
        match check_id:
            case "restore.messages":
                return self.explains_messages
            case "content.rows":
                # Names are cut off after some; what is not named is not explained.
                differing = observed.get("differing", {})
                whole = len(differing) < SHOWN and not observed.get("added")
                return whole and self._all_of(differing, self.refused, ())
            case "content.hashes":
                names = observed.get("differingTables", [])
                return len(names) == observed.get("differing") and self._all_of(names, self.refused, self.generated)
            case "catalog.diff":
                return (
                    0 < observed.get("missing", 0) <= self.unreferred
                    and not observed.get("changed")
                    and not observed.get("added")
                )
            case "filestore.bijection":
                return "ir_attachment" in self.refused
            case _:
                return False

    def _all_of(self, names: Collection[str], bare: Collection[str], qualified: Collection[str]) -> bool:
        return bool(names) and all(name in qualified or _bare(name) in bare for name in names)


def _bare(name: str) -> str:
    """Return the last part of a qualified name, as messages have it: without schema and quotes."""
    if name.endswith('"'):
        return name[name.rindex('."') + 2 : -1].replace('""', '"') if '."' in name else name[1:-1]
    return name.rpartition(".")[2]
