"""Appends records to a log until it is killed or done: prints each index once its append returned."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.evidence_support import Place, record


def main(database: str, objects: str, count: str) -> None:
    with Place(database, Path(objects)).open() as log:
        for _ in range(int(count)):
            [appended] = log.append([record(beacon=log.beacon())])
            sys.stdout.write(f"{appended.index}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
