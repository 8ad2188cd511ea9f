"""Take off what is wrapped around a copied dump: age's encryption, then compression. Streaming, into new files.

Invariant: a key that is missing or does not fit is KeyMissingError, damage is DamagedError, neither is ever the other.
The wrapped copy is removed when the next layer stands. Nothing is run; keys stay in this process.
age itself is pyrage's, bindings to rage: nothing cryptographic is done here.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyrage

from verifiers.compressed import SUFFIXES, DamagedError, Unpacker
from verifiers.sources.base import KeyMissingError
from verifiers.sources.copying import new_file
from verifiers.sources.names import AGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pyrage.ssh import Identity as SshIdentity
    from pyrage.x25519 import Identity as AgeIdentity

_PIECE = 1 << 20
_X25519, _SSH = "AGE-SECRET-KEY-1", "-----BEGIN"
# What rage says of a file that is none of age's, or whose header was cut; it has no other way to tell.
_NO_AGE = ("failed to fill whole buffer", "Incomplete header", "Header is invalid", "Header MAC is invalid")


class _Stream:
    """One end of a decryption. What its own functions raise would reach the caller changed, so it is kept."""

    def __init__(self, stream: IO[bytes], tell: Callable[[int], None]) -> None:
        self.bytes = 0
        self.raised: BaseException | None = None
        self._stream, self._tell = stream, tell

    def read(self, count: int = -1) -> bytes:
        """Read, as a file does."""
        try:
            data = self._stream.read(count)
        except BaseException as error:
            self.raised = error
            raise
        return data

    def write(self, data: bytes) -> int:
        """Write all of it, having told how much there is."""
        try:
            self.bytes += len(data)
            self._tell(self.bytes)
            self._stream.write(data)
        except BaseException as error:
            self.raised = error
            raise
        return len(data)

    def flush(self) -> None:
        """Do nothing: the file is closed at the end."""


def identities(text: str) -> list[AgeIdentity | SshIdentity]:
    """Return the keys of an identity file: `age-keygen`'s output, or an SSH private key. Raises KeyMissingError."""
    found: list[AgeIdentity | SshIdentity] = []
    try:
        if text.lstrip().startswith(_SSH):
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        lines = [line.strip() for line in text.splitlines()]
        found += [pyrage.x25519.Identity.from_str(line) for line in lines if line and line[0] != "#"]
    except pyrage.IdentityError:
        found = []  # its text may repeat the key
    if not found:
        raise KeyMissingError(
            f"the age identity holds no usable key: lines beginning with {_X25519} are expected, as age-keygen writes"
            " them, or an SSH private key without passphrase"
        )
    return found


def decrypt(path: Path, keys: Sequence[AgeIdentity | SshIdentity], written: Callable[[int], None]) -> Path:
    """Decrypt a copy into a new file beside it, remove the copy, and return the new one.

    written: told the bytes before they are written; what it raises ends the work.
    Raises KeyMissingError, DamagedError, or OSError.
    """
    target = path.with_name(path.name.removesuffix(AGE))
    if path.stat().st_size == 0:
        raise DamagedError("the file is empty (0 bytes)")
    with path.open("rb") as source, new_file(target) as sink:
        reader, writer = _Stream(source, written), _Stream(sink, written)
        try:
            pyrage.decrypt_io(reader, writer, list(keys))
        except (pyrage.DecryptError, OSError) as error:
            for raised in (reader.raised, writer.raised):
                if raised is not None:
                    raise raised from None
            if isinstance(error, OSError):
                raise DamagedError("the encrypted data are damaged, or end too early") from error
            if str(error) in _NO_AGE:
                raise DamagedError(f"it is not a whole file of age ({error})") from error
            raise KeyMissingError(
                f"none of the configured age keys opens this backup ({error}): it was encrypted for another one. Put"
                " the key that fits into the file that `decrypt` names; if it is lost, this backup is lost"
            ) from error
    path.unlink()
    return target


def decompress(path: Path, written: Callable[[int], None]) -> Path:
    """Decompress a copy by its suffix into a new file beside it, remove the copy, and return the new one.

    written: as for `decrypt`. Raises DamagedError or OSError.
    """
    target = path.with_suffix("")
    done = 0
    with new_file(target) as sink:
        for piece in pieces(path):
            done += len(piece)
            written(done)
            view = memoryview(piece)
            while view:
                view = view[sink.write(view) :]
    path.unlink()
    return target


def pieces(path: Path) -> Iterator[bytes]:
    """Yield what a copy holds, decompressed by its suffix, in pieces. Raises DamagedError or OSError."""
    unpacker = Unpacker(SUFFIXES.get(path.suffix, "none"))
    with path.open("rb", buffering=0) as source:
        while data := source.read(_PIECE):
            yield from unpacker.feed(data)
    unpacker.close()
