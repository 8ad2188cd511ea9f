"""Keeps what users' Rego was compiled to, so that only a change of it costs a compilation.

Invariant: what is recalled is, byte for byte, what was kept for these sources, this opa and this build of Guardian; an
entry that is damaged, foreign or in reach of another user is not there. A cache that cannot be used costs time alone.
I/O: one folder, `guardian` in XDG_CACHE_HOME or ~/.cache, 0700.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardian.errors import GuardianError
from guardian.policy import build, bundle, rego

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardian.policy.bundle import Bundle, Sources

KEPT: Final = 16
_BYTES: Final = 256 * 1024 * 1024


def folder() -> Path | None:
    """Return the cache folder, made if missing; None where there is none that is this user's alone."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    try:
        above = Path(stated) if os.path.isabs(stated) else Path.home() / ".cache"  # noqa: PTH117 -- "" is not absolute
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = above / "guardian"
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.stat(follow_symlinks=False)
    except (OSError, RuntimeError):
        return None
    return place if found.st_uid == os.geteuid() and not found.st_mode & 0o022 else None


def recall(sources: Sources, opa_version: str) -> Bundle | None:
    """Return the bundle that was compiled of `sources` by this opa, None if it is not kept."""
    place = folder()
    if place is None:
        return None
    try:
        with (place / _name(sources, opa_version)).open("rb") as file:
            content = file.read(_BYTES)
        digest, length, rest = content[:32], int.from_bytes(content[32:40], "big"), content[40:]
        if hashlib.sha256(content[32:]).digest() != digest:
            return None
        found = bundle.parse(rest[:length], rest[length:], sources)
    except (OSError, GuardianError):
        return None
    return found if found.source_digest == sources.digest and found.opa_version == opa_version else None


def keep(sources: Sources, opa_version: str, compiled: Mapping[str, bytes]) -> None:
    """Keep what was compiled, in one step, and drop the oldest entries."""
    place = folder()
    if place is None:
        return
    manifest = compiled[bundle.MANIFEST_NAME]
    content = len(manifest).to_bytes(8, "big") + manifest + compiled[bundle.WASM_NAME]
    target = place / _name(sources, opa_version)
    scratch = place / f".{secrets.token_hex(8)}"
    with contextlib.suppress(OSError):
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        entries = sorted(place.glob("*.policies"), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for old in entries[KEPT:]:
            old.unlink(missing_ok=True)


def _name(sources: Sources, opa_version: str) -> str:
    """Return the file name for these sources, this opa, and the code that checks and compiles them."""
    key = hashlib.sha256(f"{bundle.SCHEMA}\0{opa_version}\0{sources.digest}\0".encode())
    for code in (build.__file__, rego.__file__):
        key.update(Path(code).read_bytes())
    return f"{key.hexdigest()}.policies"
