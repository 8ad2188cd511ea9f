"""Tablespaces of a copied cluster: beside it and never behind a link.

Invariant: a fetched cluster `into/cluster` has the files of each tablespace in `into/tablespace-<oid>`, and no link in
its `pg_tblspc`. Nothing outside `into` is looked at through a link.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Final

from verifiers.sources.base import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LINKS: Final = "pg_tblspc"
_OID: Final = re.compile(r"[1-9][0-9]{0,9}")


def is_oid(name: str) -> bool:
    """Whether a name is that of a tablespace's link or folder."""
    return _OID.fullmatch(name) is not None


def beside(cluster: Path) -> Mapping[str, Path]:
    """Return the folders of the tablespaces beside a fetched cluster, by OID."""
    found = {path.name.removeprefix("tablespace-"): path for path in cluster.parent.glob("tablespace-*")}
    return {oid: path for oid, path in sorted(found.items()) if is_oid(oid)}


def bring_home(cluster: Path, spaces: Path, into: Path) -> None:
    """Put what the links of `pg_tblspc` lead to, all below our folder `spaces`, where tablespaces of a copy lie.

    Raises SourceError for a link that leads elsewhere.
    """
    links = cluster / LINKS
    for link in sorted(links.iterdir()) if links.is_dir() else ():
        if not link.is_symlink() or not is_oid(link.name):
            continue
        target = os.path.normpath(links / link.readlink())
        if os.path.dirname(target) != str(spaces) or os.path.islink(target):  # noqa: PTH114, PTH120 -- not resolved
            raise SourceError(f"the tablespace {link.name} was not restored where it was told to be")
        os.rename(target, into / f"tablespace-{link.name}")  # noqa: PTH104 -- as above
        link.unlink()
    shutil.rmtree(spaces)
