"""The digest of a folder: that of the lines which `sha256sum` would write of its files. No I/O."""

from __future__ import annotations


def sum_line(sha256: str, path: bytes) -> bytes:
    """Return one line; a name that would break it is escaped, as sha256sum does."""
    escaped = path.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    mark = b"\\" if escaped != path else b""
    return mark + sha256.encode() + b"  " + escaped + b"\n"
