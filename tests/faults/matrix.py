"""The fault matrix: forty faults and four accidents, the formats of backups, and what must catch each in each.

Every cell is either asked for, and then a test injects the fault into a real backup of that format, or it carries the
reason why it is not. A reason is one of `REASONS`; a cell without one is an error of this table. What was caught by
which check is told by the tests, with the fixture `caught` of conftest.py:

    def test_01_dump_cut_mid_row(caught: Caught, …) -> None:
        drill = …
        caught(1, "plain", drill, by="archive.complete", says="cut")

That asserts that the drill is red, by this check, with this word (a regular expression) in its message, and that no
other check failed (`beyond=` names those that may, as a consequence), and enters the cell. `verdict="error"` is for
what Guardian cannot judge (a lost key). `by` may be a mapping of checks to words. What no drill finds (a policy, a
record) is entered with `caught.told(40, "custom", by="recovery.drilled", message=found, says="weeks")`.
The cell counts only if the test passes; any worker of xdist may enter it. Several tests may enter one cell.

At the end of a run the table is printed; where all of tests/faults ran (`make test-faults`), a gap makes it fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Columns, in groups that share most reasons. Names of dumps are those of tests/formats_support.py.
ARCHIVES = ("custom", "directory", "tar", "tar.gz", "custom.age")
PLAINS = ("plain", "plain.gz", "plain.zst", "plain.lz4", "plain.age", "plain.gz.age")
DUMPS = (*ARCHIVES, *PLAINS)
COPIES = ("basebackup", "basebackup.tar", "basebackup.tar.gz", "basebackup.incremental")
CLUSTERS = (*COPIES, "pgbackrest", "barman")
CARRIERS = ("restic", "borg", "archive", "s3")  # `archive`: format tar, in all its compressions
ODOO = ("odoo", "odoo_zip", "click_odoo")  # `odoo`: the folder with db.dump and filestore/
FILES = ("files",)  # format directory, of a filestore
FORMS = (*DUMPS, *CLUSTERS, *CARRIERS, *ODOO, *FILES)
PACKED = ("plain.gz", "plain.zst", "plain.lz4", "tar.gz")
AGES = ("plain.age", "plain.gz.age", "custom.age")
LAYOUTS = ("custom", "directory", "tar", "plain")

REASONS = {
    "same": "content: proved in the formats marked; a wrapping or carrier gives back the same bytes, see faults "
    "3, 7 and 26 for where it does not",
    "fault 1": "not applicable: cutting this layout is fault 3 or 4",
    "fault 4": "not applicable: cutting this layout is fault 1, 2 or 3",
    "fault 5": "not applicable: the same digit in this layout is fault 5 or 6",
    "fault 19": "not applicable: a cut or empty part of such a copy is fault 19, 26 or 27",
    "fault 24": "not applicable: what is changed in a copy of a cluster is fault 24 or 26",
    "not packed": "not applicable: nothing is compressed or encrypted there, or it is done inside, by the tool",
    "not compressed": "not applicable: a changed bit of what is not compressed is fault 5, 6, 24 or 29",
    "no dump": "not applicable: a copy of a cluster holds no dump; it brings roles, extensions and rows as they are",
    "no log": "not applicable: a dump holds one moment, and no log is replayed",
    "no pages": "not applicable: a dump holds no pages and no indexes; they are made anew",
    "no statements": "not applicable: this layout is read by pg_restore, which knows no commands of psql",
    "no files": "not applicable: there is no filestore",
    "no database": "not applicable: there is no database in it",
    "no chain": "not applicable: backups of this format do not build upon one another, or the repository hides it",
    "no parts": "not applicable: one file, which is there or not",
    "not encrypted": "not applicable: not encrypted, or through a carrier's own key, which is its column",
    "no lock": "not applicable: only an object store locks",
    "any format": "not applicable: judged by numbers and dates alone, the same for every format; proved where marked",
    "settings": "not applicable: a server is started with settings of our own",
}


@dataclass(frozen=True)
class Fault:
    """One row. asked: the formats a test must cover. reasons: of the other ones, by format."""

    number: int
    name: str
    asked: tuple[str, ...]
    reasons: Mapping[str, str]

    @property
    def label(self) -> str:
        """How the table calls it."""
        return f"{self.number}" if self.number <= 40 else f"+{self.number - 40}"


def _groups(names: str) -> Iterator[str]:
    groups = {
        "DUMPS": DUMPS, "ARCHIVES": ARCHIVES, "PLAINS": PLAINS, "COPIES": COPIES, "CLUSTERS": CLUSTERS,
        "CARRIERS": CARRIERS, "ODOO": ODOO, "FILES": FILES, "PACKED": PACKED, "AGES": AGES, "LAYOUTS": LAYOUTS,
        "ALL": FORMS,
    }  # fmt: skip
    for name in names.split():
        yield from groups.get(name, (name,))


def _fault(number: int, name: str, asked: str, **why: str) -> Fault:
    """Return a row. why: groups or formats by reason, `_` for a space; the first that names a format counts."""
    wanted = tuple(dict.fromkeys(_groups(asked)))
    reasons: dict[str, str] = {}
    for reason, names in why.items():
        for form in _groups(names):
            if form not in wanted:
                reasons.setdefault(form, reason.replace("_", " "))
    unknown = {*wanted, *reasons} - set(FORMS)
    without = set(FORMS) - {*wanted, *reasons}
    if unknown or without or set(reasons.values()) - set(REASONS):
        raise ValueError(f"fault {number}: unknown {sorted(unknown)}, without a reason {sorted(without)}")
    return Fault(number, name, wanted, reasons)


TABLE = (
    _fault(1, "plain dump cut mid-row", "PLAINS directory odoo_zip", fault_1="ARCHIVES", no_dump="CLUSTERS",
           same="CARRIERS ODOO", no_database="FILES"),
    _fault(2, "cut at a statement's border", "PLAINS odoo_zip basebackup.tar", fault_1="ARCHIVES",
           fault_19="CLUSTERS", same="CARRIERS ODOO", no_database="FILES"),
    _fault(3, "packed file cut", "PACKED AGES basebackup.tar.gz archive odoo_zip", not_packed="ALL"),
    _fault(4, "archive cut", "custom directory tar", fault_4="tar.gz custom.age PLAINS odoo_zip", fault_19="CLUSTERS",
           same="CARRIERS ODOO", no_database="FILES"),
    _fault(5, "one digit changed, plain", "plain plain.gz plain.gz.age", fault_5="ARCHIVES",
           same="PLAINS CARRIERS ODOO", fault_24="CLUSTERS", no_database="FILES"),
    _fault(6, "one digit changed, archive", "custom directory tar tar.gz", fault_5="PLAINS",
           same="custom.age CARRIERS ODOO", fault_24="CLUSTERS", no_database="FILES"),
    _fault(7, "bit flipped in what is packed", "PACKED AGES basebackup.tar.gz restic borg pgbackrest archive odoo_zip",
           not_compressed="ALL"),
    _fault(8, "zero bytes", "DUMPS basebackup.tar archive odoo_zip", fault_19="CLUSTERS", same="restic borg s3 ODOO",
           not_compressed="FILES"),
    _fault(9, "dump under row-level security", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS",
           no_database="FILES"),
    _fault(10, "role missing", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS", no_database="FILES"),
    _fault(11, "index lost to a shim", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS", no_database="FILES"),
    _fault(12, "index lost to an unqualified name", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS",
           no_database="FILES"),
    _fault(13, "orphaned foreign key", "LAYOUTS basebackup", no_database="FILES", same="ALL"),
    _fault(14, "extension or library missing", "LAYOUTS", same="DUMPS CARRIERS ODOO", settings="CLUSTERS",
           no_database="FILES"),
    _fault(15, "tablespace missing", "LAYOUTS basebackup.tar", same="DUMPS CARRIERS ODOO", fault_19="CLUSTERS",
           no_database="FILES"),
    _fault(16, "dump of a newer server", "LAYOUTS basebackup", same="DUMPS CARRIERS CLUSTERS ODOO",
           no_database="FILES"),
    _fault(17, "\\restrict with an old psql", "plain", same="PLAINS CARRIERS ODOO", no_statements="ARCHIVES",
           no_dump="CLUSTERS", no_database="FILES"),
    _fault(18, "hostile backup", "PLAINS custom directory tar basebackup", same="DUMPS CARRIERS CLUSTERS ODOO",
           no_database="FILES"),
    _fault(19, "gap in the log", "basebackup pgbackrest barman", same="COPIES CARRIERS", no_log="DUMPS ODOO",
           no_database="FILES"),
    _fault(20, "target out of reach", "basebackup pgbackrest barman", same="COPIES CARRIERS", no_log="DUMPS ODOO",
           no_database="FILES"),
    _fault(21, "wrong timeline", "basebackup", same="CLUSTERS CARRIERS", no_log="DUMPS ODOO", no_database="FILES"),
    _fault(22, "another or a stale database", "custom basebackup", no_database="FILES", same="ALL"),
    _fault(23, "collation version changed", "basebackup", no_pages="DUMPS ODOO CARRIERS", no_database="FILES",
           same="ALL"),
    _fault(24, "page damaged before the backup", "basebackup", same="CLUSTERS", no_pages="DUMPS CARRIERS ODOO",
           no_database="FILES"),
    _fault(25, "index disagrees with its table", "basebackup", same="CLUSTERS", no_pages="DUMPS CARRIERS ODOO",
           no_database="FILES"),
    _fault(26, "part missing or extra", "directory basebackup pgbackrest barman restic borg files",
           same="COPIES", no_parts="ALL"),
    _fault(27, "broken chain", "basebackup.incremental pgbackrest", no_chain="ALL"),
    _fault(28, "row without file", "ODOO", same="CARRIERS", no_files="DUMPS CLUSTERS", no_database="FILES"),
    _fault(29, "content not its name", "ODOO files", same="CARRIERS", no_files="DUMPS CLUSTERS"),
    _fault(30, "filestore newer or older", "ODOO files", same="CARRIERS", no_files="DUMPS CLUSTERS"),
    _fault(31, "attachment columns drifted", "odoo", same="ODOO CARRIERS", no_files="DUMPS CLUSTERS",
           no_database="FILES"),
    _fault(32, "sequence behind", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS", no_database="FILES"),
    _fault(33, "matview not populated", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS",
           no_database="FILES"),
    _fault(34, "large objects missing", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS",
           no_database="FILES"),
    _fault(35, "circular keys, data only", "LAYOUTS", same="DUMPS CARRIERS ODOO", no_dump="CLUSTERS",
           no_database="FILES"),
    _fault(36, "key lost or rotated", "AGES restic borg pgbackrest", not_encrypted="ALL"),
    _fault(37, "object lock absent", "s3", no_lock="ALL"),
    _fault(38, "copy differs", "s3", any_format="ALL"),
    _fault(39, "encrypted by ransomware", "custom files", any_format="ALL"),
    _fault(40, "backup job stopped weeks ago", "custom", any_format="ALL"),
    _fault(41, "disk full", "custom", any_format="ALL"),
    _fault(42, "killed mid-restore", "custom", any_format="ALL"),
    _fault(43, "two drills of one asset at once", "custom", any_format="ALL"),
    _fault(44, "clock set back", "custom", any_format="ALL"),
)  # fmt: skip
FAULTS = {fault.number: fault for fault in TABLE}
CELLS = frozenset((fault.number, form) for fault in TABLE for form in fault.asked)
