"""The forms in which a backup lies there. No I/O."""

from __future__ import annotations

from enum import StrEnum


class Layout(StrEnum):
    """pg_dump's -Fc, -Fd, -Ft and -Fp; pg_basebackup's -Fp and -Ft."""

    CUSTOM = "custom"
    DIRECTORY = "directory"
    TAR = "tar"
    PLAIN = "plain"
    CLUSTER = "cluster"
    CLUSTER_TAR = "cluster-tar"

    @property
    def physical(self) -> bool:
        """Whether it is a copy of a cluster's files, not a dump of one database."""
        return self in {Layout.CLUSTER, Layout.CLUSTER_TAR}

    @property
    def folder(self) -> bool:
        """Whether it is a folder and not one file."""
        return self is Layout.DIRECTORY or self.physical
