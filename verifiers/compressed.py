"""Compressed streams, unpacked piece by piece: gzip, zstd, lz4, bzip2 and xz behind one class.

Invariant: memory is bounded by a few buffers whatever the ratio in the data, and a stream that does not end as a whole
one does is an error, never a shorter one. Frames may follow one another, as parallel compressors write them. No I/O.
"""

from __future__ import annotations

import bz2
import lzma
import sys
from typing import TYPE_CHECKING, Any, Protocol

import lz4.frame
from isal import isal_zlib

from verifiers.errors import VerifierError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".lz4": "lz4"}
# Archives of write-ahead log know two more.
KINDS = {**SUFFIXES, ".bz2": "bzip2", ".xz": "xz"}
_PIECE = 1 << 20


InflateError: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]  # its stub takes it for an instance


class DamagedError(VerifierError):
    """The stream is not whole, or not of its format at all. The message says which, without a name."""


class _Frame(Protocol):
    """One frame or member."""

    def step(self, data: bytes) -> tuple[bytes, bytes, bool, bool]:
        """Return (unpacked, input not used, whether more can be unpacked without input, whether the frame ended)."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = isal_zlib.decompressobj(wbits=31)

    def step(self, data: bytes) -> tuple[bytes, bytes, bool, bool]:
        try:
            out = self._inner.decompress(data, _PIECE)
        except InflateError as error:
            raise DamagedError(f"the gzip data are damaged ({error})") from error
        if self._inner.eof:
            return out, self._inner.unused_data, False, True
        rest = self._inner.unconsumed_tail
        return out, rest, bool(rest) or len(out) == _PIECE, False


class _Modern:
    """All others: their decompressors keep unused input themselves."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._inner = _decompressor(kind)

    def step(self, data: bytes) -> tuple[bytes, bytes, bool, bool]:
        try:
            out = bytes(self._inner.decompress(data, max_length=_PIECE))
        except (zstd.ZstdError, lzma.LZMAError, OSError, RuntimeError) as error:  # OSError: bzip2, RuntimeError: lz4
            raise DamagedError(f"the {self._kind} data are damaged ({error})") from error
        if self._inner.eof:
            return out, self._inner.unused_data or b"", False, True
        return out, b"", not self._inner.needs_input, False


def _decompressor(kind: str) -> Any:  # noqa: ANN401 -- four libraries, one shape, no common type
    match kind:
        case "zstd":
            return zstd.ZstdDecompressor()
        case "bzip2":
            return bz2.BZ2Decompressor()
        case "xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ)
        case _:
            return lz4.frame.LZ4FrameDecompressor()


class Unpacker:
    """Unpacks one stream. kind: `gzip`, `zstd`, `lz4`, `bzip2`, `xz`, or `none`, which passes everything through."""

    def __init__(self, kind: str) -> None:
        if kind not in {"none", *KINDS.values()}:
            raise ValueError(f"no compression {kind!r}")
        self._kind = kind
        self._frame: _Frame | None = None
        self._empty = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` unpacks to, in pieces of a MiB at most. Raises DamagedError."""
        if self._kind == "none":
            yield data
            return
        more = False
        while data or more:
            self._empty = False
            if self._frame is None:
                self._frame = _Gzip() if self._kind == "gzip" else _Modern(self._kind)
            out, data, more, ended = self._frame.step(data)
            if ended:
                self._frame = None
            if out:
                yield out

    def close(self) -> None:
        """Raise DamagedError if the stream cannot end here."""
        if self._kind != "none" and (self._empty or self._frame is not None):
            what = "is empty (0 bytes)" if self._empty else "ends in the middle of its compressed data; it was cut"
            raise DamagedError(f"the file {what}")
