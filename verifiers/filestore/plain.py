"""A plain folder of files, read once: against its names, its manifest, and what an earlier drill read.

Invariant: nothing passes for what was not checked. A folder whose names say nothing, that has no manifest and came out
of no archive that checks itself, has no content that could be told right from wrong, and the check says so.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from verifiers.filestore.manifest import SHOWN, ManifestLook, check
from verifiers.filestore.measures import Measures
from verifiers.filestore.reading import SHA1_NAME, Problem, read_tree
from verifiers.result import Assurance, Verdict
from verifiers.sums import sum_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verifiers.filestore.manifest import FilestoreManifest
    from verifiers.filestore.reading import File
    from verifiers.filestore.turns import Turns
    from verifiers.result import Check

_SHA256_NAME: Final = re.compile(rb"(?:^|/)[0-9a-f]{64}\Z")
_MOST: Final = 0.9  # of the files are named by hashes where a store names them so
_RIGHT: Final = 0.5  # of those names are right where they are hashes of the content and not of something else


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of one reading. sha256: the folder's digest; None where not every file could be read."""

    checks: list[Check]
    sha256: str | None
    measured: Measures


@dataclass(frozen=True, slots=True)
class Terms:
    """How a folder is looked at. in_place: where the backup lies; else it is a copy of our own.

    verified: what the program that kept it verified on its way here. modes: whether its permissions are the
    backup's own.
    """

    in_place: bool
    modes: bool
    verified: str = ""


def examine_plain(
    root: Path,
    terms: Terms,
    turns: Turns,
    manifest: FilestoreManifest | None,
    progress: Callable[[int], None] | None = None,
) -> Examined:
    """Return `archive.complete`, `filestore.content`, and with a manifest `filestore.manifest`. Raises FilestoreError.

    turns: of this asset; the caller closes them. progress: called with the bytes done so far.
    """
    started = time.monotonic()
    problems: list[Problem] = []
    listed = ManifestLook(manifest, 0, modes=terms.modes, extra=True) if manifest is not None else None
    names, measured, digest = _Names(), Measures(), hashlib.sha256()
    other = 0
    for file in read_tree(
        root,
        ["sha256"],
        known=turns.known,
        entropy=True,
        named=True,
        private=not terms.in_place,
        problem=problems.append,
        progress=progress,
    ):
        turns.see(file)
        measured.see(file)
        names.see(file)
        digest.update(sum_line(file.digests[0].hex(), file.raw))
        if listed is not None:
            other += not listed.see(file)
    rotten = [path for path in turns.rotten if terms.in_place and _untouched(root, path, turns)]
    complete = _complete(terms, turns, measured, problems, manifest, started)
    checks = [complete, _content(terms, names, measured, listed is not None, other, rotten, started)]
    if listed is not None:
        note = "" if terms.modes else " Permissions are not compared: a copy that is fetched does not keep them."
        checks.append(listed.check(started, note))
    return Examined(checks, None if problems else digest.hexdigest(), measured)


def _untouched(root: Path, path: str, turns: Turns) -> bool:
    """Whether a file was not written while it was read, either: its times are still those it had before."""
    try:
        return os.lstat(root / path).st_ctime_ns < turns.began_ns
    except OSError:
        return False


class _Names:
    """Holds each file that was read against its name, where that could be a hash."""

    def __init__(self) -> None:
        self.files = self.named = self.judged = 0
        self.wrong: list[str] = []

    def see(self, file: File) -> None:
        """Take a file: its SHA-256, and its SHA-1 where the name could be one."""
        self.files += 1
        sha1, sha256 = SHA1_NAME.search(file.raw), _SHA256_NAME.search(file.raw)
        if sha1 is None and sha256 is None:
            return
        self.named += 1
        if sha1 is not None and len(file.digests) == 1:
            return  # verified in an earlier drill, by another hash than that of its name
        self.judged += 1
        if file.digests[0 if sha256 else 1].hex().encode() != file.raw[-64 if sha256 else -40 :]:
            self.wrong.append(file.path)

    @property
    def tell(self) -> bool:
        """Whether names are hashes of the content here."""
        right = self.judged - len(self.wrong)
        return self.files > 0 and self.named >= _MOST * self.files and right > _RIGHT * self.judged


def _complete(
    terms: Terms,
    turns: Turns,
    measured: Measures,
    problems: list[Problem],
    manifest: FilestoreManifest | None,
    started: float,
) -> Check:
    verdict = Verdict.PASS
    where = "Verified in place, not restored: " if terms.in_place else ""
    message = f"{where}{turns.describe(len(problems))}, {measured.bytes} bytes in all."
    if terms.verified:
        message += f" {terms.verified[:1].upper()}{terms.verified[1:]}".rstrip(".") + "."
    observed: dict[str, Any] = {
        "files": measured.files,
        "bytes": measured.bytes,
        "emptyFiles": measured.empty,
        "inPlace": terms.in_place,
        **turns.observed(len(problems)),
    }
    damaged = [problem for problem in problems if problem.damage]
    if problems:
        first = (damaged or problems)[0]
        verdict = Verdict.FAIL if damaged else Verdict.ERROR
        message = f"{len(problems)} files could not be verified, first {first.path}, which {first.reason}. {message}"
        observed["unverifiedNames"] = [problem.path for problem in problems[:SHOWN]]
    elif not measured.files and (manifest is None or manifest.files):
        verdict = Verdict.FAIL
        message = "The backup holds no file; look whether its disk is mounted, and what the backup job copied."
    return check(
        "archive.complete", Assurance.RESTORED, verdict, "every file read to its end", observed, message, started
    )


def _content(
    terms: Terms, names: _Names, measured: Measures, by_manifest: bool, other: int, rotten: list[str], started: float
) -> Check:
    """Return `filestore.content`: by names, manifest or the archive's own checksums, and by what was read before."""
    observed: dict[str, Any] = {"files": measured.files, "bytes": measured.bytes, "rotten": len(rotten)}
    faults, truths = [], []
    if rotten:
        observed["rottenNames"] = sorted(rotten)[:SHOWN]
        faults.append(f"{len(rotten)} hold other bytes than before though nobody wrote them: the disk or a memory did")
    if names.tell:
        observed["wrong"] = len(names.wrong)
        truths.append("their names, which are hashes,")
        if names.wrong:
            observed["wrongNames"] = sorted(names.wrong)[:SHOWN]
            faults.append(f"{len(names.wrong)} do not hold what their names, which are hashes, promise")
    if by_manifest:
        truths.append("their manifest")
        if other:
            faults.append(f"{other} do not hold what the manifest says")
    if terms.verified:
        truths.append("the archive's own checksums")
    verdict = Verdict.FAIL if faults else Verdict.PASS if truths else Verdict.ERROR
    if faults:
        message = f"Of {measured.files} files, {', and '.join(faults)}. Restore those from an older backup."
    elif truths:
        message = f"All {measured.files} files hold what {' and '.join(truths)} promise."
    else:
        message = (
            "Nothing tells what the files should hold: their names are no hashes, the format has no checksums. Take "
            "backups inside `guardian manifest ASSET --backup -- …`, or write `assurance: restored` for this asset."
        )
    return check("filestore.content", Assurance.SOUND, verdict, {"wrong": 0}, observed, message, started)
