"""What `pg_dumpall --globals-only` wrote, made ready for a sandbox: roles, memberships, settings, grants.

Invariant: no password leaves this module, and no tablespace is made where the file says: the caller makes one of that
name in the sandbox. A statement that does not belong in such a file is an error. Reads the file, writes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifiers.postgres.plain import CLUSTER, read_plain
from verifiers.postgres.plain_needs import UndecidedError
from verifiers.postgres.sqltext import identifier, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from verifiers.postgres.plain_scan import Event

_LIMIT_BYTES = 64 << 20  # of a file that is kept in memory


@dataclass(frozen=True, slots=True)
class Globals:
    """statements: to be run as a superuser, after the tablespaces were made. counts: what was there, for the record."""

    roles: frozenset[str]
    tablespaces: frozenset[str]
    statements: Sequence[str]
    counts: Mapping[str, int]


def read_globals(path: Path, *, superuser: str) -> Globals:
    """Read a file to its end. superuser: the sandbox's own, of which nothing is changed.

    Raises ArchiveError where it is not whole, UndecidedError for statements of another file, or OSError.
    """
    if path.stat().st_size > _LIMIT_BYTES:
        raise UndecidedError(f"it has more than {_LIMIT_BYTES >> 20} MiB, too much for globals")
    gathered = _Gathered(superuser)
    read_plain(path, lambda _: None, kind=CLUSTER, each=gathered.take)
    return Globals(
        frozenset(gathered.roles), frozenset(gathered.tablespaces), gathered.statements, dict(gathered.counts)
    )


class _Gathered:
    def __init__(self, superuser: str) -> None:
        self.roles: set[str] = set()
        self.tablespaces: set[str] = set()
        self.statements: list[str] = []
        self.counts: Counter[str] = Counter(roles=0, memberships=0, settings=0, tablespaces=0, passwordsDropped=0)
        self._superuser = superuser

    def take(self, event: Event) -> None:
        """Take one statement. Raises UndecidedError."""
        if event.cut:
            raise UndecidedError(f"the statement at byte {event.at} is too long for globals")
        items = list(tokens(event.text.decode("utf-8", "backslashreplace")))
        kept = self._kept(items, [item.upper() for item in items])
        if kept:
            self.statements.append(" ".join(kept) + ";")

    def _kept(self, items: list[str], words: list[str]) -> list[str]:
        """Return the statement as it is to be run, empty for one that is not."""
        kept = items
        match words:
            case ["SELECT" | "DROP", *_]:
                kept = []  # with --clean: nothing is there to drop
            case ["CREATE", "ROLE", *_]:
                self.roles.add(identifier(items[2]))
                self.counts["roles"] += 1
                kept = [] if identifier(items[2]) == self._superuser else items
            case ["ALTER", "ROLE", *_]:
                kept = self._alter_role(items, words)
            case ["GRANT", *_] if "ON" not in words:
                self.counts["memberships"] += 1
                # Whoever granted it may be no more than a superuser here, which since 16 is not enough.
                kept = items[: words.index("GRANTED")] if "GRANTED" in words else items
            case ["CREATE", "TABLESPACE", _, "OWNER", *_]:
                self.tablespaces.add(identifier(items[2]))
                self.counts["tablespaces"] += 1
                kept = ["ALTER", "TABLESPACE", items[2], "OWNER", "TO", items[4]]
            case ["SET", *_] | ["ALTER", "TABLESPACE", *_] | ["GRANT" | "REVOKE", *_] | ["SECURITY", "LABEL", *_]:
                pass
            case ["COMMENT", "ON", "ROLE" | "TABLESPACE", *_]:
                pass
            case _:
                raise UndecidedError(
                    f"it holds {' '.join(words[:2])}, which `pg_dumpall --globals-only` does not write"
                )
        return kept

    def _alter_role(self, items: list[str], words: list[str]) -> list[str]:
        own = identifier(items[2]) == self._superuser
        if "WITH" not in words[:4]:
            self.counts["settings"] += 1
            # Settings for one database: it has another name here, and only who logs in as the role would meet them.
            return [] if own or words[3:5] == ["IN", "DATABASE"] else items
        if "PASSWORD" in words:
            self.counts["passwordsDropped"] += 1
            place = words.index("PASSWORD")
            items = items[:place] + items[place + 2 :]
        return [] if own else items
