"""Numbers of a filestore that one drill compares with the last: how much, how much read, how much looks encrypted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifiers.filestore.reading import File


@dataclass(slots=True)
class Measures:
    """Counts over the files seen. read: of them read now. judged: of those, long enough to tell encrypted from not."""

    files: int = 0
    bytes: int = 0
    read: int = 0
    read_bytes: int = 0
    empty: int = 0
    judged: int = 0
    encrypted: int = 0

    def see(self, file: File) -> None:
        """Take a file."""
        self.files += 1
        self.bytes += file.state.size
        self.empty += not file.state.size
        if file.known is None:
            self.read += 1
            self.read_bytes += file.state.size
            self.judged += file.encrypted is not None
            self.encrypted += bool(file.encrypted)

    def to_json(self) -> dict[str, int]:
        """Return the measurements of a drill."""
        return {
            "files": self.files,
            "fileBytes": self.bytes,
            "filesRead": self.read,
            "filesJudgedByEntropy": self.judged,
            "filesHighEntropy": self.encrypted,
        }
