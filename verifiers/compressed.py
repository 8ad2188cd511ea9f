"""Compressed streams, unpacked piece by piece: gzip, zstd and lz4 behind one class.

Invariant: memory is bounded by a few buffers whatever the ratio in the data, and a stream that does not end as a whole
one does is an error, never a shorter one. Frames may follow one another, as parallel compressors write them. No I/O.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Protocol

import lz4.frame

from verifiers.errors import VerifierError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".lz4": "lz4"}
_PIECE = 1 << 20


class DamagedError(VerifierError):
    """The stream is not whole, or not of its format at all. The message says which, without a name."""


class _Frame(Protocol):
    """One frame or member."""

    def step(self, data: bytes) -> tuple[bytes, bytes, bool, bool]:
        """Return (unpacked, input not used, whether more can be unpacked without input, whether the frame ended)."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def step(self, data: bytes) -> tuple[bytes, bytes, bool, bool]:
        try:
            out = self._inner.decompress(data, _PIECE)
        except zlib.error as error:
            raise DamagedError(f"the gzip data are damaged ({error})") from error
        if self._inner.eof:
            return out, self._inner.unused_data, False, True
        rest = self._inner.unconsumed_tail
        return out, rest, bool(rest) or len(out) == _PIECE, False


class _Modern:
    """zstd and lz4: their decompressors keep unused input themselves."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._inner = zstd.ZstdDecompressor() if kind == "zstd" else lz4.frame.LZ4FrameDecompressor()

    def step(self, data: bytes) -> tuple[bytes, bytes, bool, bool]:
        try:
            out = bytes(self._inner.decompress(data, max_length=_PIECE))
        except (zstd.ZstdError, RuntimeError) as error:  # lz4 raises nothing more specific
            raise DamagedError(f"the {self._kind} data are damaged ({error})") from error
        if self._inner.eof:
            return out, self._inner.unused_data or b"", False, True
        return out, b"", not self._inner.needs_input, False


class Unpacker:
    """Unpacks one stream. kind: `gzip`, `zstd`, `lz4`, or `none`, which passes everything through."""

    def __init__(self, kind: str) -> None:
        if kind not in {"none", *SUFFIXES.values()}:
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
