"""Every line that pg_restore or psql wrote to stderr, classified; nothing that may carry a row is kept.

Invariant: no line is ignored: it is a message, or an attachment (DETAIL, CONTEXT, statement text) of one, or unknown.
Unknown is never harmless. Texts are kept as templates: object names stay only where PostgreSQL puts an object name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from verifiers.result import Check


class Kind(StrEnum):
    """harmless: nothing lost. known: an error whose cause is recognised. fatal: the restore ended. unknown: neither."""

    HARMLESS = "harmless"
    KNOWN = "known"
    FATAL = "fatal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Message:
    """One classified message.

    sqlstate: given, or inferred from a recognised text. object: `TABLE public.t` from the table of contents, or the
    object the message names. template: the text without values. sandbox: True when the cause is what the sandbox lacks,
    not a defect of the backup. lines: how many lines of stderr it accounts for.
    """

    sqlstate: str | None
    kind: Kind
    object: str | None
    template: str
    sandbox: bool = False
    lines: int = 1


def classify(lines: Iterable[str]) -> list[Message]:
    """Classify stderr of pg_restore or psql, line by line, in order."""
    raise NotImplementedError


def messages_check(exit_status: int, messages: Sequence[Message]) -> Check:
    """Return `restore.messages`: pass only for exit status 0 and nothing but harmless messages.

    fail for a defect of the backup; error when only the sandbox's own lacks, or unclassified lines, stand against it.
    """
    raise NotImplementedError
