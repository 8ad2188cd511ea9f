"""A prefix of a real bucket: which backups it holds, which version is which, and what the store may refuse."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.aws_support import ENVIRONMENT, Moto
from tests.shelves.base import Text
from tests.shelves.s3 import PREFIX, new_bucket, place_of
from tests.tools.seaweed import ADMIN, NOBODY, READER, Seaweed, User
from verifiers.sources import BackupItem, KeyMissingError, Place, SourceError, open_source, s3_client
from verifiers.sources.s3 import S3Prefix
from verifiers.sources.s3_groups import Gone, Stored, groups, newest_last

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Bucket:
    """A bucket, written by the admin and read by the reader."""

    def __init__(self, server: Seaweed, **options: bool) -> None:
        self.server, self.client = server, server.client()
        self.name = new_bucket(server, **options)

    def put(self, key: str, data: bytes = b"x", **more: Any) -> None:
        self.client.put_object(Bucket=self.name, Key=f"{PREFIX}/{key}", Body=data, **more)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"{PREFIX}/{key}")

    def source(self, user: User = READER, *, kind: str = "postgres", holds: str = "pg_dump") -> S3Prefix:
        return S3Prefix(kind, place_of(self.server, self.name, user, holds=holds))

    def ids(self, **how: Any) -> list[str]:
        return [item.id for item in self.source(**how).locate()]


@pytest.fixture
def plain(seaweed: Seaweed) -> Bucket:
    return Bucket(seaweed)


@pytest.fixture
def versioned(seaweed: Seaweed) -> Bucket:
    return Bucket(seaweed, versions=True)


def content(source: S3Prefix, item: BackupItem, into: Path) -> bytes:
    into.mkdir()
    fetched = source.fetch(item, into, lambda _: None)
    assert source.digest(item)[0] == fetched.sha256
    assert fetched.dump is not None
    return fetched.dump.read_bytes()


def test_every_upload_under_one_key_is_a_backup_with_an_id_of_its_own(versioned: Bucket, tmp_path: Path) -> None:
    for data in (b"monday", b"tuesday", b"wednesday"):
        versioned.put("erp-20260301T110000Z.dump", data)
    source = versioned.source()
    items = source.locate()
    assert len({item.id for item in items}) == 3
    assert all(item.id.startswith("erp-20260301T110000Z@") for item in items)
    read = [content(source, item, tmp_path / str(place)) for place, item in enumerate(items)]
    assert read == [b"monday", b"tuesday", b"wednesday"], "the newest upload last"
    assert max(items, key=lambda item: (item.taken_at or NOON, item.id)) is items[-1], "whatever their ids"
    before = items[-1].id
    versioned.put("erp-20260301T110000Z.dump", b"thursday")
    assert versioned.ids()[-1] != before, "so that a manifest of one upload never meets another"
    assert before in versioned.ids()


def test_without_versions_an_overwritten_key_is_the_backup_that_lies_there_now(plain: Bucket, tmp_path: Path) -> None:
    plain.put("erp.dump", b"monday")
    plain.put("erp.dump", b"tuesday")
    [item] = plain.source().locate()
    assert item.id == "erp"
    assert item.complete is None
    assert content(plain.source(), item, tmp_path / "into") == b"tuesday"


def test_backup_under_a_delete_marker_is_listed_and_can_be_read(versioned: Bucket, tmp_path: Path) -> None:
    versioned.put("erp.dump", b"removed")
    versioned.delete("erp.dump")
    versioned.delete("never.dump")
    [item] = versioned.source().locate()
    assert content(versioned.source(), item, tmp_path / "into") == b"removed"


def test_folder_uploaded_again_is_two_backups_each_with_its_own_files(versioned: Bucket, tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        for name in ("toc.dat", "1.dat", "2.dat"):
            versioned.put(f"20260301T110000Z/{name}", f"{name} {day}".encode())
        time.sleep(1.1)  # the store's times are seconds
    items = versioned.source().locate()
    assert len(items) == 2
    for place, (item, day) in enumerate(zip(items, ("monday", "tuesday"), strict=True)):
        into = tmp_path / str(place)
        into.mkdir()
        fetched = versioned.source().fetch(item, into, lambda _: None)
        assert fetched.dump is not None
        assert {path.name: path.read_text() for path in fetched.dump.iterdir()} == {
            name: f"{name} {day}" for name in ("toc.dat", "1.dat", "2.dat")
        }
        assert versioned.source().digest(item)[0] == fetched.sha256


def test_folder_that_was_removed_is_still_a_backup(versioned: Bucket) -> None:
    for name in ("toc.dat", "1.dat"):
        versioned.put(f"20260301T110000Z/{name}")
    [before] = versioned.ids()
    time.sleep(1.1)
    for name in ("toc.dat", "1.dat"):
        versioned.delete(f"20260301T110000Z/{name}")
    assert versioned.ids() == [before]


def test_versions_of_one_second_keep_their_order() -> None:
    stored = [Stored("p/d/a", "2", 1, "e", NOON), Stored("p/d/a", "1", 1, "e", NOON, current=False)]
    stored += [Stored("p/d/b", "2", 1, "e", NOON), Stored("p/d/b", "1", 1, "e", NOON, current=False)]
    states = [{member.version for member in group.members.values()} for group in groups("p/", stored, [])]
    assert states == [{"1"}, {"2"}]
    assert groups("p/", [], [Gone("p/d/a", NOON, current=True)]) == []
    assert newest_last([NOON, NOON - timedelta(days=1), NOON])[1:] == [
        NOON - timedelta(days=1),
        NOON,
    ]
    assert newest_last([NOON, NOON]) == [NOON - timedelta(microseconds=1), NOON]


def test_more_keys_than_one_page_are_all_found(plain: Bucket) -> None:
    for number in range(1010):
        plain.put(f"noise/{number:04}", b"")
    plain.put("zz-last.dump")
    plain.put("aa-first.dump")
    assert sorted(plain.ids()) == ["aa-first", "zz-last"]


def test_what_is_no_backup_by_its_name_is_left_out(plain: Bucket) -> None:
    for key in ("readme.txt", ".hidden.dump", "globals.sql", "folder/erp.dump", "erp.dump.tmp", "erp.sql.zst.age"):
        plain.put(key)
    assert plain.ids() == ["erp"]
    [item] = plain.source().locate()
    assert item.form.wrappings == (".zst", ".age")
    assert item.globals is not None


def test_upload_that_is_not_finished_is_no_backup(plain: Bucket) -> None:
    plain.put("done.dump")
    key = f"{PREFIX}/part.dump"
    upload = plain.client.create_multipart_upload(Bucket=plain.name, Key=key)["UploadId"]
    plain.client.upload_part(Bucket=plain.name, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * (5 << 20))
    assert plain.ids() == ["done"]


def test_object_of_several_parts_arrives_whole(plain: Bucket, tmp_path: Path) -> None:
    data = bytes(range(256)) * (160 << 10)  # 40 MiB
    plain.put("big.dump", data)
    [item] = plain.source().locate()
    told: list[int] = []
    into = tmp_path / "into"
    into.mkdir()
    fetched = plain.source().fetch(item, into, told.append)
    assert fetched.dump is not None
    assert fetched.dump.read_bytes() == data
    assert told[-1] == fetched.bytes == len(data)
    assert plain.source().digest(item) == (fetched.sha256, len(data))


def test_odd_names_become_files_and_impossible_ones_are_refused() -> None:
    """By their keys alone: this server, as many, does not take the worst of them, and AWS does."""

    def group(*keys: str) -> Any:
        found = groups("p/", [Stored(f"p/{key}", None, 1, "e", NOON) for key in keys], [])
        return [(one.name, bool(one.odd)) for one in found]

    assert group("d/a b", "d/ü", "d/a\nb", "d/%41", "d/.hid") == [("d", False)]
    for key in ("d/../x", "d/./x", "d//x", "d/a/../../x", "d/x\0", f"d/{'n' * 256}"):
        assert group(key) == [("d", True)], key
    assert group("d/a", "d/a/b") == [("d", True)], "a file that is a folder too"
    assert group("../x", "./x", "/x", "") == []


@pytest.mark.parametrize("key", ["../../escaped", "a//b", "./a"])
def test_folder_with_an_impossible_key_is_listed_and_not_fetched(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with Moto() as moto:  # which takes such keys, as AWS does
        moto.reset()
        client = moto.client("s3", "us-east-1")
        client.create_bucket(Bucket="bucket")
        for name in ("toc.dat", key):
            client.put_object(Bucket="bucket", Key=f"erp/20260301T110000Z/{name}", Body=b"x")
        source = S3Prefix("postgres", Place("s3", "s3://bucket/erp", endpoint=moto.url, region="us-east-1"))
        [item] = source.locate()
        assert item.complete is False
        assert "no file can have" in item.reason
        with pytest.raises(SourceError, match="no file can have"):
            source.fetch(item, tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "escaped").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda place: replace(place, path="s3://no-such-bucket/x"), "no such bucket"),
        (lambda place: replace(place, path=place.path + "/nothing"), "nothing is stored"),
        (lambda place: replace(place, path="s3://x"), "write path: s3://BUCKET/PREFIX"),
        (lambda place: replace(place, environment={"AWS_PROFILE": Text("x")}), "remove AWS_PROFILE"),
    ],
)
def test_wrong_place_is_an_error_that_says_what_to_do(plain: Bucket, change: Callable[[Any], Any], says: str) -> None:
    plain.put("erp.dump")
    place = change(place_of(plain.server, plain.name, ADMIN))
    with pytest.raises(SourceError, match=says):
        open_source("postgres", place).locate()


def test_refusal_names_the_call_and_the_permission(plain: Bucket) -> None:
    plain.put("erp.dump")
    with pytest.raises(SourceError, match=r"GetBucketVersioning was refused .*allow s3:GetBucketVersioning") as error:
        plain.source(NOBODY).locate()
    assert not isinstance(error.value, KeyMissingError)


@pytest.mark.parametrize("user", [User("stranger", ()), replace(READER, name="reader2")])
def test_credentials_that_are_not_taken_are_a_missing_key_and_never_told(plain: Bucket, user: User) -> None:
    with pytest.raises(KeyMissingError, match="does not take these credentials") as error:
        plain.source(user).locate()
    assert user.secret not in str(error.value)
    place = replace(plain.source()._place, environment={"AWS_ACCESS_KEY_ID": Text(READER.key)})
    with pytest.raises(KeyMissingError, match="belong together"):
        S3Prefix("postgres", place).locate()


def test_object_replaced_between_listing_and_reading_is_not_mixed(plain: Bucket) -> None:
    plain.put("erp.dump", b"one")
    source = plain.source()
    store = source._store()
    [stored] = store.listing()[0]
    plain.put("erp.dump", b"two")
    with pytest.raises(SourceError, match="replaced or removed since it was listed"):
        store.read(stored, 0, 3, lambda _: None)


def test_endpoint_that_is_not_there_is_an_error_that_names_it(plain: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "_ATTEMPTS", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(SourceError, match=endpoint):
            S3Prefix("postgres", replace(plain.source()._place, endpoint=endpoint)).locate()


def test_endpoint_that_never_answers_is_given_up(plain: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "_ATTEMPTS", 1)
    monkeypatch.setattr(s3_client, "_READ_S", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(SourceError, match="ReadTimeoutError"):
            S3Prefix("postgres", replace(plain.source()._place, endpoint=endpoint)).locate()
    assert time.monotonic() - began < 10


@pytest.fixture
def cut_short(plain: Bucket) -> Iterator[str]:
    """The endpoint of a proxy that ends every answer after 20 bytes of an object's body."""
    upstream = plain.server.url.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with closing(client), closing(socket.create_connection((upstream[0], int(upstream[1])))) as server:
                request = client.recv(65536).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
                server.sendall(request)
                answer = b""
                while data := server.recv(65536):
                    answer += data
                head, _, body = answer.partition(b"\r\n\r\n")
                kept = body[:20] if b"/erp.dump" in request.partition(b"\r\n")[0] else body
                client.sendall(head + b"\r\n\r\n" + kept)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_answer_that_ends_early_is_asked_again_for_the_rest(plain: Bucket, cut_short: str, tmp_path: Path) -> None:
    plain.put("erp.dump", b"0123456789" * 5)
    [item] = plain.source().locate()
    place = replace(plain.source()._place, endpoint=cut_short)
    assert content(S3Prefix("postgres", place), item, tmp_path / "into") == b"0123456789" * 5
    plain.put("erp.dump", b"0123456789" * 50)
    with pytest.raises(SourceError, match="the store sent 60 bytes of 500"):
        content(S3Prefix("postgres", place), item, tmp_path / "other")


def test_tls_is_verified_against_the_authority_that_the_place_names(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    chain, key, roots = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(roots)
    with Seaweed(tmp_path / "server", tls=(chain, key), ca=str(roots)) as server:
        bucket = Bucket(server)
        bucket.put("erp.dump")
        place = place_of(server, bucket.name)
        trusting = replace(place, environment={**place.environment, "AWS_CA_BUNDLE": Text(str(roots))})
        assert [item.id for item in S3Prefix("postgres", trusting).locate()] == ["erp"]
        with pytest.raises(SourceError, match=r"certificate .* cannot be verified; .*AWS_CA_BUNDLE"):
            S3Prefix("postgres", place).locate()
