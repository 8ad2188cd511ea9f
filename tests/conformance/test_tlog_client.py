"""A transparency log client written from the specifications alone, reading over HTTP; it knows nothing of Guardian.

C2SP signed-note, tlog-checkpoint and tlog-tiles; proofs and their verification from RFC 9162, section 2.1.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import shutil
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from guardian import config
from guardian.records import access_event
from tests.api_support import Api, bearer, settings_with_api, token
from tests.reading_support import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from guardian.settings import Settings

RECORDS = 600  # two full tiles, a partial one, and a level above them
HEIGHT, WIDTH = 8, 256


class RefusedError(Exception):
    """What the server says does not hold."""


# signed-note and tlog-checkpoint -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def open_note(note: bytes, name: str, key: Ed25519PublicKey) -> str:
    """Return the text of a signed note that `name` signed with `key` (C2SP signed-note)."""
    try:
        text, signatures = note.decode("utf-8").rsplit("\n\n", 1)
    except (UnicodeDecodeError, ValueError) as error:
        raise RefusedError("it is no signed note") from error
    text += "\n"
    if not signatures.endswith("\n"):
        raise RefusedError("the last signature has no end")
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    key_id = hashlib.sha256(name.encode() + b"\n\x01" + raw).digest()[:4]
    for line in signatures.splitlines():
        if not line.startswith("— "):
            raise RefusedError("a line is no signature")
        signer, _, encoded = line[2:].rpartition(" ")
        try:
            blob = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise RefusedError("a signature is no base64") from error
        if signer == name and blob[:4] == key_id:
            try:
                key.verify(blob[4:], text.encode())
            except InvalidSignature as error:
                raise RefusedError("the signature does not hold") from error
            return text
    raise RefusedError("nobody known signed it")


def open_checkpoint(note: bytes, origin: str, key: Ed25519PublicKey) -> Checkpoint:
    lines = open_note(note, origin, key).split("\n")
    if len(lines) < 4 or lines[0] != origin:
        raise RefusedError("it is a checkpoint of another log")
    if not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise RefusedError("the size is no number")
    root = base64.b64decode(lines[2], validate=True)
    if len(root) != 32:
        raise RefusedError("the root is no hash")
    return Checkpoint(origin, int(lines[1]), root)


# tlog-tiles ----------------------------------------------------------------------------------------------------------


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    parts = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        parts.insert(0, f"x{number % 1000:03d}")
    return f"tile/{level}/{'/'.join(parts)}" + (f".p/{width}" if width < WIDTH else "")


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def parse_bundle(data: bytes) -> list[bytes]:
    entries, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entry = data[at + 2 : at + 2 + length]
        if len(entry) != length:
            raise RefusedError("a bundle ends within an entry")
        entries.append(entry)
        at += 2 + length
    return entries


@dataclass
class Client:
    """Reads one log. fetch: a path -> the bytes that the server answers."""

    fetch: Callable[[str], bytes]
    origin: str
    key: Ed25519PublicKey
    tiles: dict[tuple[int, int, int], bytes] = field(default_factory=dict)

    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.fetch("checkpoint"), self.origin, self.key)

    def hash_at(self, level: int, index: int, size: int) -> bytes:
        """Return the hash of the complete subtree `index` of 2**level leaves in the tree of `size` leaves."""
        tile_level, within = divmod(level, HEIGHT)
        first = index << within  # in the tile level's own hashes
        number, offset = divmod(first, WIDTH)
        available = (size >> (HEIGHT * tile_level)) - number * WIDTH
        width = min(WIDTH, available)
        at = (tile_level, number, width)
        if at not in self.tiles:
            self.tiles[at] = self.fetch(tile_path(tile_level, number, width))
            if len(self.tiles[at]) != 32 * width:
                raise RefusedError("a tile has not the hashes that it must have")
        data = self.tiles[at]
        row = [data[32 * n : 32 * n + 32] for n in range(offset, offset + (1 << within))]
        while len(row) > 1:
            row = [node_hash(row[n], row[n + 1]) for n in range(0, len(row), 2)]
        return row[0]

    def range_hash(self, begin: int, end: int, size: int) -> bytes:
        """Return MTH(D[begin:end]) of RFC 9162 section 2.1.1, from tiles; `begin` is where a subtree begins."""
        count = end - begin
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self.hash_at(level, begin >> level, size)
        split = 1 << (count - 1).bit_length() - 1
        return node_hash(self.range_hash(begin, begin + split, size), self.range_hash(begin + split, end, size))

    def entries(self, size: int) -> Iterator[tuple[int, bytes]]:
        for number in range((size + WIDTH - 1) // WIDTH):
            width = min(WIDTH, size - number * WIDTH)
            found = parse_bundle(self.fetch(tile_path("entries", number, width)))
            if len(found) != width:
                raise RefusedError("a bundle has not the entries that it must have")
            yield from enumerate(found, number * WIDTH)

    def inclusion(self, index: int, begin: int, end: int, size: int) -> list[bytes]:
        """PATH(m, D[n]) of RFC 9162 section 2.1.3.1."""
        if end - begin == 1:
            return []
        split = begin + (1 << (end - begin - 1).bit_length() - 1)
        if index < split:
            return [*self.inclusion(index, begin, split, size), self.range_hash(split, end, size)]
        return [*self.inclusion(index, split, end, size), self.range_hash(begin, split, size)]

    def consistency(self, old: int, begin: int, end: int, size: int, *, whole: bool) -> list[bytes]:
        """SUBPROOF(m, D[n], b) of RFC 9162 section 2.1.4.1; old: counted from `begin`."""
        if old == end - begin:
            return [] if whole else [self.range_hash(begin, end, size)]
        split = 1 << (end - begin - 1).bit_length() - 1
        if old <= split:
            left = self.consistency(old, begin, begin + split, size, whole=whole)
            return [*left, self.range_hash(begin + split, end, size)]
        right = self.consistency(old - split, begin + split, end, size, whole=False)
        return [*right, self.range_hash(begin, begin + split, size)]

    def audit(self) -> tuple[Checkpoint, list[bytes]]:
        """Read and check the whole log: its root from the tiles, and that each entry is in it."""
        head = self.checkpoint()
        if self.range_hash(0, head.size, head.size) != head.root:
            raise RefusedError("the tiles do not make the root")
        for level in range(HEIGHT, 64, HEIGHT):  # each tile above holds the roots of full tiles below
            for number in range(head.size >> level):
                below = [self.hash_at(level - HEIGHT, number * WIDTH + n, head.size) for n in range(WIDTH)]
                while len(below) > 1:
                    below = [node_hash(below[n], below[n + 1]) for n in range(0, len(below), 2)]
                if below[0] != self.hash_at(level, number, head.size):
                    raise RefusedError("a tile is not made of those below")
        entries = []
        for index, entry in self.entries(head.size):
            proof = self.inclusion(index, 0, head.size, head.size)
            if not included(leaf_hash(entry), index, head.size, proof, head.root):
                raise RefusedError(f"entry {index} is not in the log")
            entries.append(entry)
        return head, entries


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, result = index, size - 1, leaf
    for step in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            result = node_hash(step, result)
            if not fn & 1:
                while fn and not fn & 1:
                    fn, sn = fn >> 1, sn >> 1
        else:
            result = node_hash(result, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and result == root


def consistent(old: Checkpoint, new: Checkpoint, proof: list[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2."""
    if old.size == new.size:
        return not proof and old.root == new.root
    if old.size > new.size or not proof:
        return False
    if old.size & (old.size - 1) == 0:
        proof = [old.root, *proof]
    fn, sn = old.size - 1, new.size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    before = after = proof[0]
    for step in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            before, after = node_hash(step, before), node_hash(step, after)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            after = node_hash(after, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and before == old.root and after == new.root


# the facts ------------------------------------------------------------------------------------------------------------


def grow(settings: Settings, count: int) -> None:
    writer = Writer(settings)
    context = writer.context()
    writer.write(*(access_event(writer.run("access"), context, accesses=[], omitted=number) for number in range(count)))


def log_key(folder: Path) -> Ed25519PublicKey:
    key = load_pem_private_key((folder / "keys/log.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key.public_key()


def client_of(url: str, folder: Path, given: str | None = None) -> Client:
    session = requests.Session()
    session.trust_env = False

    def fetch(path: str) -> bytes:
        with session.get(f"{url}/{path}", headers=bearer(given) if given else {}, timeout=30) as answered:
            if answered.status_code != 200:
                raise RefusedError(f"{path}: {answered.status_code}")
            return answered.content

    origin = json.loads((folder / "root.json").read_text(encoding="utf-8"))["origin"]
    return Client(fetch, origin, log_key(folder))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_with_api(tmp_path_factory.mktemp("tlog"), ", publicLog: true", records=False)
    grow(settings, RECORDS)
    return settings


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Api]:
    with Api(settings) as running:
        yield running


def test_a_client_of_the_specifications_reads_and_checks_the_whole_log_without_a_token(api: Api) -> None:
    client = client_of(api.url, api.settings.path.parent)
    head, entries = client.audit()
    assert head.size == len(entries) >= RECORDS
    assert {(level, width) for level, _, width in client.tiles} >= {(0, WIDTH), (1, 2)}


def test_each_entry_names_the_envelope_that_the_api_gives(api: Api, settings: Settings) -> None:
    given = token(settings, "comparer")
    _, entries = client_of(api.url, settings.path.parent).audit()
    for index in (0, 1, 255, 256, 511, 599):
        envelope = api.get(f"/v1/records/{index}/envelope", given).content
        assert json.loads(entries[index])["envelopeSha256"] == hashlib.sha256(envelope).hexdigest()


def test_the_proof_of_a_record_is_that_of_the_tiles(api: Api, settings: Settings) -> None:
    given = token(settings, "prover")
    document = api.get("/v1/records/300", given).json()
    head = open_checkpoint(document["checkpoint"].encode(), document["proof"]["origin"], log_key(settings.path.parent))
    hashes = [base64.b64decode(one) for one in document["proof"]["hashes"]]
    assert head.size == document["proof"]["treeSize"]
    assert included(leaf_hash(base64.b64decode(document["entry"])), 300, head.size, hashes, head.root)
    served = {base64.b64decode(key["publicKey"]) for key in document["keys"]["log"]}
    assert log_key(settings.path.parent).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) in served


def test_a_later_checkpoint_continues_each_earlier_one(api: Api, settings: Settings) -> None:
    folder = settings.path.parent
    heads = [client_of(api.url, folder).checkpoint()]
    for count in (1, 7, 168, 300):
        grow(settings, count)
        client = client_of(api.url, folder)
        head = client.checkpoint()
        for earlier in heads:
            proof = client.consistency(earlier.size, 0, head.size, head.size, whole=True)
            assert consistent(earlier, head, proof), (earlier.size, head.size)
        heads.append(head)
    assert heads[-1].size == heads[0].size + 476
    client_of(api.url, folder).audit()


def test_a_full_tile_may_be_kept_for_ever_and_a_partial_one_not(api: Api) -> None:
    full, partial = api.get("/tile/0/000"), api.get("/tile/0/002.p/1")
    assert full.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert full.headers["Content-Type"] == "application/octet-stream"
    assert partial.headers["Cache-Control"] == "no-store"
    assert api.get("/tile/0/000", headers={"If-None-Match": full.headers["ETag"]}).status_code == 304
    assert api.get("/checkpoint").headers["Content-Type"].startswith("text/plain")


def test_a_public_log_opens_nothing_else(api: Api) -> None:
    for path in ("/v1/records", "/v1/records/1", "/metrics", "/v1/openapi.json"):
        assert api.get(path).status_code == 401


class Tampering(http.server.BaseHTTPRequestHandler):
    """Answers what the real server does, but for one byte of one path."""

    def do_GET(self) -> None:
        with requests.get(self.server.upstream + self.path, timeout=30) as answered:  # type: ignore[attr-defined]  # ours
            body = bytearray(answered.content)
        path, at = self.server.flipped  # type: ignore[attr-defined]  # ours
        if self.path == f"/{path}":
            body[at % len(body)] ^= 1
            self.server.flips += 1  # type: ignore[attr-defined]  # ours
        self.send_response(answered.status_code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(bytes(body))

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    "path", ["checkpoint", "tile/0/000", "tile/0/001", "LAST", "tile/1/000.p/N", "tile/entries/000", "LAST ENTRIES"]
)
@pytest.mark.parametrize("at", [0, 5, 40, 77, -2])
def test_a_server_that_changes_one_byte_is_refused(api: Api, settings: Settings, path: str, at: int) -> None:
    size = client_of(api.url, settings.path.parent).checkpoint().size
    last = (size // WIDTH, size % WIDTH)
    path = {
        "LAST": tile_path(0, *last),
        "LAST ENTRIES": tile_path("entries", *last),
        "tile/1/000.p/N": tile_path(1, 0, size // WIDTH),
    }.get(path, path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tampering)
    server.upstream, server.flipped, server.flips = api.url, (path, at), 0  # type: ignore[attr-defined]  # ours
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(RefusedError):
            client_of(url, settings.path.parent).audit()
        assert server.flips == 1  # type: ignore[attr-defined]  # ours
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_two_views_of_one_log_are_told_apart(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    settings = settings_with_api(mine, ", publicLog: true", records=False)
    grow(settings, 20)
    shutil.copytree(mine, tmp_path / "other")
    other = config.load(tmp_path / "other/guardian.yaml")
    grow(settings, 5)
    grow(other, 30)
    with Api(settings) as first, Api(other) as second:
        seen, _ = client_of(first.url, mine).audit()
        client = client_of(second.url, mine)
        shown, _ = client.audit()  # whole in itself, and signed by the log's key
        proof = client.consistency(seen.size, 0, shown.size, shown.size, whole=True)
        assert not consistent(seen, shown, proof)
