"""Makes the test vectors of evidence/FORMAT.md: `python -m tests.evidence_vectors` writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from evidence import checkpoint, dsse, entry, keyring, keys, merkle, statement
from evidence.strict import b64encode, canonical

FOLDER = Path(__file__).parent.parent / "evidence" / "vectors"
ORIGIN = "guardian/production/0a1b2c3d"
SEEDS = {"root": bytes([1]) * 32, "record": bytes([2]) * 32, "log": bytes([3]) * 32}


def build() -> dict[str, bytes]:
    """Return every vector by file name: fixed keys, one keyring, a log of three records, its checkpoint and proofs."""
    root, record, log = (keys.PrivateKey.from_seed(seed) for seed in SEEDS.values())
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ring = keyring.create_keyring(
        origin=ORIGIN,
        version=1,
        threshold=1,
        root_keys=[root],
        entries=[
            keyring.KeyEntry.of(key, role=role, not_before=start) for key, role in ((record, "record"), (log, "log"))
        ],
    )
    files = {
        "keys.json": json.dumps(
            {
                name: {
                    "seed": seed.hex(),
                    "id": keys.PrivateKey.from_seed(seed).id,
                    "public": b64encode(keys.public_der(keys.PrivateKey.from_seed(seed).public)),
                }
                for name, seed in SEEDS.items()
            },
            indent=2,
        ).encode()
        + b"\n",
        "root.json": keyring.Root(ORIGIN, 1, (root.public,)).to_json(),
        "keyring-1.dsse.json": ring,
    }
    tree, beacon = merkle.Tree(), None
    for index, kind in enumerate(("key-event", "source-manifest", "restore-drill")):
        predicate = {
            "recordId": f"01a20822-e550-7d3d-9041-7a3be3eab00{index}",
            "environment": "production",
            "beacon": beacon,
            "result": "PASSED",
            **({"keyring": json.loads(ring)} if index == 0 else {"note": "größer ✓", "seconds": 0.00001}),
        }
        subject = {"name": f"subject {index}", "digest": {"sha256": f"{index:064x}"}}
        payload = statement.build(kind, [subject], predicate)
        envelope = dsse.sign(payload, record)
        data = entry.entry_of(envelope, statement.parse_statement(payload))
        tree.append(merkle.leaf_hash(data))
        files |= {f"payload-{index}.json": payload, f"record-{index}.dsse.json": envelope, f"entry-{index}.json": data}
        files[f"checkpoint-{index + 1}"] = checkpoint.sign(ORIGIN, index + 1, tree.root(index + 1), log)
        beacon = {"origin": ORIGIN, "size": index + 1, "root": b64encode(tree.root(index + 1))}
    for index in range(3):
        hashes = [b64encode(one) for one in tree.inclusion_path(index, 3)]
        files[f"proof-{index}.json"] = canonical({"hashes": hashes, "index": index, "size": 3})
    files["pae-2.bin"] = dsse.pae(dsse.PAYLOAD_TYPE, files["payload-2.json"])
    return files


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, data in build().items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
