"""Code, test vectors and FORMAT.md say the same; the vectors hold with nothing but hashlib and cryptography."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import dsse, judge, keyring, statement
from tests.evidence_vectors import FOLDER, build

FORMAT = (FOLDER.parent / "FORMAT.md").read_text(encoding="utf-8")


def read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def test_the_code_makes_exactly_the_committed_vectors() -> None:
    built = build()
    assert {path.name for path in FOLDER.iterdir()} == set(built)
    for name, data in built.items():
        assert read(name) == data, name


def test_the_vectors_hold_without_our_code() -> None:
    keys = json.loads(read("keys.json"))
    for key in keys.values():
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"]))
        der = base64.b64decode(key["public"])
        assert der == bytes.fromhex("302a300506032b6570032100") + private.public_key().public_bytes_raw()
        assert hashlib.sha256(der).hexdigest() == key["id"]
    public = {
        key["id"]: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"])).public_key()
        for key in keys.values()
    }
    leaves = []
    for index in range(3):
        envelope = json.loads(read(f"record-{index}.dsse.json"))
        payload = base64.b64decode(envelope["payload"])
        assert payload == read(f"payload-{index}.json")
        pae = b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload)
        [signature] = envelope["signatures"]
        public[signature["keyid"]].verify(base64.b64decode(signature["sig"]), pae)
        entry = read(f"entry-{index}.json")
        assert json.loads(entry)["envelopeSha256"] == hashlib.sha256(read(f"record-{index}.dsse.json")).hexdigest()
        leaves.append(hashlib.sha256(b"\0" + entry).digest())
    left = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()
    root = hashlib.sha256(b"\1" + left + leaves[2]).digest()
    origin, size, encoded, _, signed, _ = read("checkpoint-3").decode().split("\n")
    assert (size, base64.b64decode(encoded)) == ("3", root)
    note = base64.b64decode(signed.split(" ")[2])
    log = public[keys["log"]["id"]]
    assert note[:4] == hashlib.sha256(origin.encode() + b"\n\x01" + log.public_bytes_raw()).digest()[:4]
    log.verify(note[4:], f"{origin}\n{size}\n{encoded}\n".encode())
    assert json.loads(read("proof-0.json"))["hashes"] == [
        base64.b64encode(one).decode() for one in (leaves[1], leaves[2])
    ]
    assert json.loads(read("proof-2.json"))["hashes"] == [base64.b64encode(left).decode()]


def test_the_vectors_verify_as_a_log() -> None:
    root = keyring.Root.parse(read("root.json"))
    judged = judge.Judge(root, None)
    for index in range(3):
        judged.record(index, read(f"entry-{index}.json"), read(f"record-{index}.dsse.json"))
    assert judged.keyring == keyring.verify_keyring([read("keyring-1.dsse.json")], root)
    assert judge.check_log_key(read("checkpoint-3"), judged.keyring)[0] == 3


def test_every_digest_that_the_format_quotes_is_that_of_its_vector() -> None:
    quoted = dict(re.findall(r"^\| `([a-z0-9.-]+)` \| `([0-9a-f]{64})` \|$", FORMAT, re.MULTILINE))
    assert quoted == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}


def test_the_format_lists_every_predicate_type() -> None:
    for kind in statement.KINDS:
        assert f"`{kind}`" in FORMAT
    for uri in (statement.KEYRING, statement.PACK_INDEX, dsse.PAYLOAD_TYPE, statement.STATEMENT_TYPE):
        assert uri in FORMAT
