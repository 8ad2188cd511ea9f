"""Every line that pg_restore or psql wrote to stderr, classified; nothing that may carry a row is kept.

Invariant: no line is ignored: it is a message, or an attachment (DETAIL, CONTEXT, statement text) of one, or unknown.
Unknown is never harmless. Texts are kept as templates: object names stay only where PostgreSQL puts an object name.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from verifiers.postgres.messages import PROGRAM, SERVER, WARNINGS, censored, recognise
from verifiers.result import Assurance, Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN = 50
_NAME_LENGTH = 200  # characters of an object's name that are kept
_TEXT_LENGTH = 4000  # characters of a line that are looked at; a longer text is none that is known

_FROM_PROGRAM = re.compile(r"(?:\S*/)?(?:pg_restore|psql)(?::[^ ]*:\d+)?: (?:\[[a-z ()]*\] )?(.*)", re.DOTALL)
_FROM_SERVER = re.compile(r"(ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|LOG|DEBUG\d?):  (?:([0-9A-Z]{5}): )?(.*)")
_ATTACHED = re.compile(r"(DETAIL|HINT|CONTEXT|QUERY|LOCATION|STATEMENT|LINE \d+): |detail: |hint: |Command was: |\s")
_HARMLESS_ATTACHED = re.compile(
    r"(DETAIL|HINT|CONTEXT|QUERY|LOCATION|STATEMENT|LINE \d+): |detail: |hint: |Command was: |"
    r"(?:PL/\w+|SQL) function |SQL statement |\s*\Z"
)
_TOC = re.compile(r"from TOC entry \d+; \d+ \d+ ([A-Z][A-Z ]*[A-Z]) (.*)")
_WHERE = re.compile(r"(while (PROCESSING TOC|INITIALIZING|FINALIZING)|Error (while|from) .*):?|from TOC entry .*")
_COPY = re.compile(r'COPY failed for table "(?P<name>.+?)": (?P<text>.*)')
_SETTING = re.compile(r'could not set "[a-z_]+"(?: to .*?)?: (?=(?:ERROR|FATAL|PANIC):  )')
_IGNORED = re.compile(r"errors ignored on restore: (\d+)")
# What --verbose tells, by its first word.
_TOLD = re.compile(
    r"(creating|processing|executing|connecting|setting|launching|launched|finished|entering|reducing|transferring|"
    r"dropping|disabling|enabling|restoring|restored|starting|skipping|implied|allocating|moving|no item ready)\b.*"
)


class Kind(StrEnum):
    """harmless: nothing lost. known: an error whose cause is recognised. fatal: the restore ended. unknown: neither."""

    HARMLESS = "harmless"
    KNOWN = "known"
    FATAL = "fatal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Message:
    """One classified message.

    sqlstate: given, or inferred from a recognised text. object: `TABLE t` from the table of contents, or the object the
    message names. template: the text without values. sandbox: True when the cause is what the sandbox lacks, not a
    defect of the backup. lines: how many lines of stderr it accounts for.
    """

    sqlstate: str | None
    kind: Kind
    object: str | None
    template: str
    sandbox: bool = False
    lines: int = 1


def classify(lines: Iterable[str]) -> list[Message]:
    """Classify stderr of pg_restore or psql, line by line, in order."""
    return _Reader().read(lines)


class _Reader:
    """What has been read so far. pending: lines and object that belong to the message to come."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.pending_lines = 0
        self.pending_object: str | None = None
        self.errors = 0
        self.open = False  # whether lines without a beginning of their own belong to the last message
        self.statement = False  # whether "Command was:" was seen: then all lines do, up to the program's next one

    def read(self, lines: Iterable[str]) -> list[Message]:
        for line in lines:
            self._line(line.rstrip("\r\n")[:_TEXT_LENGTH])
        if self.pending_lines:
            self._add(Message(None, Kind.UNKNOWN, None, "output ends in the middle of a message"), opens=False)
        return self.messages

    def _line(self, line: str) -> None:
        program = _FROM_PROGRAM.fullmatch(line)
        text = program.group(1) if program else line
        if program and _WHERE.fullmatch(text):
            found = _TOC.fullmatch(text)
            if found:
                name = found.group(2).removesuffix(" (no owner)")
                name = name.rpartition(" ")[0] if name == found.group(2) else name
                self.pending_object = f"{found.group(1)} {name}"[:_NAME_LENGTH]
            self.pending_lines += 1
            return
        harmless = bool(self.messages) and self.messages[-1].kind is Kind.HARMLESS
        if harmless:  # only what begins as a part of it: whatever else follows may be the first sign of a loss
            attached = bool(_HARMLESS_ATTACHED.match(text))
        else:
            attached = bool(_ATTACHED.match(text)) or not text or (self.statement and not program)
        if attached and self.messages and (self.open or not line.strip()):
            self.statement |= text.startswith("Command was: ")
            self._attach()
        elif program:
            self._from_program(text)
        elif _FROM_SERVER.fullmatch(line):
            self._server(line, None)
        elif self.open and not harmless:
            self._attach()
        elif line.strip():
            self._add(Message(None, Kind.UNKNOWN, None, f"unexpected output: {censored(line)}"), opens=False)
        else:
            self.pending_lines += 1

    def _from_program(self, text: str) -> None:
        level, _, rest = text.partition(": ")
        if level in {"error", "fatal", "could not execute query", "COPY failed"}:
            self._error(rest if level in {"error", "fatal"} else text)
        elif level == "warning":
            self._warning(rest)
        elif _FROM_SERVER.fullmatch(text):
            self._server(text, None)
        elif _TOLD.fullmatch(text):
            self._add(Message(None, Kind.HARMLESS, None, f"{text.split(' ', 1)[0]} …"), opens=False)
        else:
            self._error(text)

    def _error(self, text: str) -> None:
        self.errors += 1
        copy = _COPY.fullmatch(text)
        table = f"TABLE {copy['name']}"[:_NAME_LENGTH] if copy else None
        text = copy["text"] if copy else _SETTING.sub("", text.removeprefix("could not execute query: "), count=1)
        if _FROM_SERVER.fullmatch(text):
            self._server(text, table)
            return
        found = recognise(text, PROGRAM)
        if found is None:
            self._add(Message(None, Kind.UNKNOWN, table, censored(text)), opens=True)
            return
        known, name = found
        kind = Kind.FATAL if known.fatal else Kind.KNOWN
        self._add(Message(None, kind, table or name, known.template, sandbox=known.sandbox), opens=True)

    def _warning(self, text: str) -> None:
        ignored = _IGNORED.fullmatch(text)
        if ignored:
            # An error must be among the messages, or it was lost on the way here. The number itself is not compared:
            # with several jobs pg_restore counts some errors twice.
            kind = Kind.HARMLESS if self.errors else Kind.UNKNOWN
            self._add(Message(None, kind, None, f"errors ignored on restore: {ignored.group(1)}"), opens=False)
            return
        if _FROM_SERVER.fullmatch(text):
            self._server(text, None)
            return
        self._listed(text, None)

    def _listed(self, text: str, sqlstate: str | None) -> None:
        """Add a warning, of the program or the server."""
        found = recognise(text, WARNINGS)
        if found is None:
            self._add(Message(sqlstate, Kind.UNKNOWN, None, f"warning: {censored(text)}"), opens=True)
            return
        known, name = found
        kind = Kind.HARMLESS if known.harmless else Kind.FATAL if known.fatal else Kind.KNOWN
        message = Message(sqlstate or known.sqlstate, kind, name, f"warning: {known.template}", sandbox=known.sandbox)
        self._add(message, opens=True)

    def _server(self, text: str, table: str | None) -> None:
        found = _FROM_SERVER.fullmatch(text)
        level, sqlstate, said = found.groups() if found else ("ERROR", None, text)
        if level in {"NOTICE", "INFO", "LOG"} or level.startswith("DEBUG"):
            self._add(Message(sqlstate, Kind.HARMLESS, None, f"{level.lower()} of the server"), opens=True)
            return
        if level == "WARNING":
            self._listed(said, sqlstate)
            return
        recognised = recognise(said, SERVER)
        if recognised is None:
            kind = Kind.UNKNOWN if level == "ERROR" else Kind.FATAL
            self._add(Message(sqlstate, kind, table, censored(said)), opens=True)
            return
        known, name = recognised
        kind = Kind.HARMLESS if known.harmless else Kind.FATAL if known.fatal or level != "ERROR" else Kind.KNOWN
        template = known.template.replace("<name>", name[:_NAME_LENGTH] if name else "<name>").replace("<...>", "…")
        self._add(Message(sqlstate or known.sqlstate, kind, table or name, template, sandbox=known.sandbox), opens=True)

    def _add(self, message: Message, *, opens: bool) -> None:
        told = self.pending_object or message.object
        self.messages.append(
            replace(message, object=told and told[:_NAME_LENGTH], lines=message.lines + self.pending_lines)
        )
        self.pending_lines, self.pending_object, self.open, self.statement = 0, None, opens, False

    def _attach(self) -> None:
        self.messages[-1] = replace(self.messages[-1], lines=self.messages[-1].lines + 1 + self.pending_lines)
        self.pending_lines = 0


def messages_check(exit_status: int, messages: Sequence[Message]) -> Check:
    """Return `restore.messages`: pass only for exit status 0 and nothing but harmless messages.

    fail for a defect of the backup; error where the sandbox lacked something (then nothing else can be judged), or
    where only unclassified lines stand against it.
    """
    counts = Counter(message.kind.value for message in messages)
    against = [message for message in messages if message.kind is not Kind.HARMLESS]
    observed: dict[str, Any] = {
        "exitStatus": exit_status,
        "messages": len(messages),
        "lines": sum(message.lines for message in messages),
        "byKind": {kind.value: counts[kind.value] for kind in Kind},
    }
    if against:
        same = Counter(replace(message, lines=1) for message in against)
        observed["against"] = [
            {
                "kind": message.kind.value,
                "sqlstate": message.sqlstate,
                "object": message.object,
                "template": message.template,
                "sandbox": message.sandbox,
                "times": times,
            }
            for message, times in same.most_common(_SHOWN)
        ]
    # pg_restore exits 1 for any error of the server, also for one that means nothing.
    excused = any(message.kind is Kind.HARMLESS and message.sqlstate for message in messages)
    verdict, text = _judge(exit_status, against, excused=excused)
    return Check("restore.messages", Assurance.RESTORED, verdict, {"exitStatus": 0, "against": 0}, observed, text)


def _judge(exit_status: int, against: Sequence[Message], *, excused: bool) -> tuple[Verdict, str]:
    if not against:
        if exit_status == 0 or (exit_status == 1 and excused):
            return Verdict.PASS, "The restore ended without a message that means a loss."
        return Verdict.ERROR, f"The restore exited {exit_status} without saying why."
    lacking = next((message for message in against if message.sandbox), None)
    defect = next((message for message in against if not message.sandbox and message.kind is not Kind.UNKNOWN), None)
    if lacking is not None:
        return (
            Verdict.ERROR,
            f"The sandbox could not restore it: {_said(lacking)}. What else was said may follow from it.",
        )
    if defect is not None:
        return Verdict.FAIL, f"The restore met {len(against)} errors, first: {_said(defect)}."
    return Verdict.ERROR, f"{len(against)} messages of the restore are not known: {_said(against[0])}."


def _said(message: Message) -> str:
    where = f" at {message.object}" if message.object and message.object not in message.template else ""
    return f"{message.template}{f' ({message.sqlstate})' if message.sqlstate else ''}{where}"
