"""Hostile archives: whatever a tar or zip says, nothing is written outside, nothing is a link, and nothing grows."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest

from verifiers.compressed import DamagedError
from verifiers.errors import VerifierError
from verifiers.sources import SourceError, zipfiles
from verifiers.sources.tarfiles import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = b"the host's own secret"


class QuotaError(Exception):
    """What a drill raises."""


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Where to unpack; around it nothing may change."""
    (tmp_path / "shadow").write_bytes(SECRET)
    (tmp_path / "target").mkdir()
    yield tmp_path / "target"
    assert {path.name for path in tmp_path.iterdir()} <= {"shadow", "target", "a.zip"}
    assert (tmp_path / "shadow").read_bytes() == SECRET
    for path in (tmp_path / "target").rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or (path.is_file() and path.stat().st_nlink == 1)
        assert path.is_dir() or SECRET not in path.read_bytes()


Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"x", **more: object) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return made.getvalue()


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    """Yield data in sizes that fit no block."""
    yield from (data[at : at + size] for at in range(0, len(data), size))


def unpacked(data: bytes, target: Path, limit: int = 1 << 24) -> int:
    def written(done: int) -> None:
        if done > limit:
            raise QuotaError

    return unpack(pieces(data), target, written, name="erp.tar")


DEEP = "/".join(["d"] * 100) + "/f"
HOSTILE = {
    "name that climbs": [member("a/../../shadow")],
    "absolute name": [member("/etc/cron.d/x")],
    "name that climbs in an extended header": [member("x" * 120 + "/../../../shadow")],
    "link out": [member("out", tarfile.SYMTYPE, "../shadow")],
    "link, then a file through it": [member("out", tarfile.SYMTYPE, ".."), member("out/shadow")],
    "folder link, then a file through it": [member("d", tarfile.SYMTYPE, "/"), member("d/tmp/x")],
    "hard link out": [member("h", tarfile.LNKTYPE, "../shadow")],
    "absolute hard link": [member("h", tarfile.LNKTYPE, "/etc/passwd")],
    "hard link to nothing": [member("h", tarfile.LNKTYPE, "nothing")],
    "hard link to itself": [member("h", tarfile.LNKTYPE, "h")],
    "hard link to a folder": [member("d", tarfile.DIRTYPE), member("h", tarfile.LNKTYPE, "d")],
    "device": [member("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "disk": [member("sda", tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "pipe": [member("pipe", tarfile.FIFOTYPE)],
    "name twice": [member("a"), member("a", data=b"y")],
    "name twice, spelled otherwise": [member("d/a"), member("./d//a", data=b"y")],
    "file where a folder is": [member("d/a"), member("d")],
    "folder where a file is": [member("d"), member("d/a")],
    "too deep": [member(DEEP)],
    "name longer than any": [member("n" * 300)],
    "name of a mebibyte": [member("n" * (1 << 20))],
    "nothing for a name": [member("./")],
    "sparse": [member("s", tarfile.GNUTYPE_SPARSE)],
    "unknown type": [member("s", b"Z")],
    "sparse in an extended header": [member("s", pax_headers={"GNU.sparse.major": "1"})],
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_hostile_tar_is_refused(target: Path, what: str, form: int) -> None:
    if form == tarfile.GNU_FORMAT and "extended header" in what and "sparse" in what:
        return  # it has none
    with pytest.raises(SourceError) as error:
        unpacked(tar(*HOSTILE[what], form=form), target)
    assert "erp.tar" in str(error.value)
    assert len(str(error.value)) < 600


def test_name_for_all_members_is_refused(target: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "../shadow"}) as archive:
        archive.addfile(member("a")[0], io.BytesIO(b"x"))
    with pytest.raises(SourceError, match="all its members"):
        unpacked(made.getvalue(), target)


def test_names_that_are_no_utf8_are_names(target: Path) -> None:
    data = tar(member("caf\udce9"), member("ünï\n"), form=tarfile.GNU_FORMAT)
    unpacked(data, target)
    assert sorted(os.fsencode(path.name) for path in target.iterdir()) == [b"caf\xe9", "ünï\n".encode()]


def test_hard_link_to_an_earlier_file_is_a_copy_of_it(target: Path) -> None:
    unpacked(tar(member("d/a", data=b"content"), member("h", tarfile.LNKTYPE, "./d/a")), target)
    assert (target / "h").read_bytes() == b"content"


def test_hard_links_count_as_what_they_copy(target: Path) -> None:
    links = [member(f"h{n}", tarfile.LNKTYPE, "a") for n in range(100)]
    with pytest.raises(QuotaError):
        unpacked(tar(member("a", data=bytes(1 << 20)), *links), target)


def test_a_million_empty_files_meet_the_limit(target: Path) -> None:
    with pytest.raises(QuotaError):
        unpacked(tar(*(member(f"{n}", data=b"") for n in range(2000))), target, limit=1 << 18)


def test_size_that_is_a_lie_costs_no_memory(target: Path) -> None:
    info, _ = member("large", size=1 << 60)
    header = info.tobuf(tarfile.GNU_FORMAT)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match="cut short"):
            unpacked(header + bytes(1 << 20), target)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_that_says_it_is_endless_is_refused(target: Path, kind: bytes) -> None:
    info, _ = member("h", kind, size=1 << 40)
    with pytest.raises(SourceError, match="which no file has"):
        unpacked(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096), target)


@pytest.mark.parametrize(
    "record", [b"9999999 path=a\n", b"path=a\n", b"0 a=b\n", b"12 path\n", b"11 path=abc", b"-5 a=b\n"]
)
def test_damaged_extended_header_is_damage(target: Path, record: bytes) -> None:
    info, _ = member("h", tarfile.XHDTYPE, size=len(record))
    data = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0") + tar(member("a"))
    with pytest.raises(DamagedError):
        unpacked(data, target)


def test_every_byte_of_a_tar_that_is_cut_off_is_missed(target: Path) -> None:
    data = tar(member("a", data=b"one" * 300), member("b", data=b""), form=tarfile.GNU_FORMAT)
    end = len(data.rstrip(b"\0")) + 512
    for length in range(0, end, 97):
        place = target / str(length)
        place.mkdir()
        with pytest.raises(DamagedError):
            unpacked(data[:length], place)


def test_every_byte_of_a_header_that_is_changed_is_noticed_or_of_no_account(target: Path) -> None:
    data = tar(member("a", data=b"one"), form=tarfile.GNU_FORMAT)
    for at in range(512):
        changed = bytearray(data)
        changed[at] ^= 0x01
        place = target / str(at)
        place.mkdir()
        if 148 <= at < 156:  # the checksum's own field, with its filling
            with contextlib.suppress(VerifierError):
                unpacked(bytes(changed), place)
                assert (place / "a").read_bytes() == b"one"
            continue
        with pytest.raises(VerifierError):
            unpacked(bytes(changed), place)


def test_bytes_behind_the_end_are_noticed(target: Path) -> None:
    with pytest.raises(DamagedError, match="goes on behind its end"):
        unpacked(tar(member("a")) + b"\0" * 512 + b"x", target)


# -- zips


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data, compress_type=zipfile.ZIP_DEFLATED)
    return path


def unzipped(path: Path, target: Path, limit: int = 1 << 24) -> list[str]:
    def written(done: int) -> None:
        if done > limit:
            raise QuotaError

    return zipfiles.unpack(path, target, lambda _name: True, written)


def of_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../shadow", "leads out"),
        ("filestore/../../shadow", "leads out"),
        ("/etc/cron.d/x", "leads out"),
        ("filestore//x", "leads out"),
        ("filestore/..", "leads out"),
        ("..\\shadow", "leads out"),
        ("filestore/" + "n" * 300, "too long"),
        ("/".join(["d"] * 40), "too long"),
    ],
)
def test_names_of_a_zip_that_lead_out_are_refused(target: Path, tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        unzipped(zipped(tmp_path / "a.zip", ("dump.sql", b"x"), (name, b"y")), target)
    assert not list(target.iterdir()), "refused before anything was unpacked"


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010644], ids=["link", "device", "pipe"])
def test_links_and_devices_in_a_zip_are_refused(target: Path, tmp_path: Path, mode: int) -> None:
    with pytest.raises(SourceError, match="link or special file"):
        unzipped(zipped(tmp_path / "a.zip", (of_mode("filestore/x", mode), b"../../shadow")), target)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["dump.sql", "dump.sql/"])
def test_name_that_is_twice_in_a_zip_is_refused(target: Path, tmp_path: Path, other: str) -> None:
    with pytest.raises(SourceError, match="twice"):
        unzipped(zipped(tmp_path / "a.zip", ("dump.sql", b"one"), (other, b"")), target)


def test_encrypted_member_of_a_zip_is_refused(target: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("dump.sql", b"content"))
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="encrypted with a zip's password"):
        unzipped(path, target)


def test_zip_bomb_meets_the_limit(target: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("dump.sql", bytes(64 << 20)))
    assert path.stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(QuotaError):
            unzipped(path, target)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_zip_whose_members_overlap_is_refused(target: Path, tmp_path: Path) -> None:
    """One compressed stream, in the directory a hundred times: D. Fifield, "A better zip bomb", 2019."""
    content = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    crc = zlib.crc32(content)
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, crc, len(packed), len(content), 3, 0) + b"000"
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, len(packed), len(content), 3, *[0] * 4, 0, 0)
        + f"{n:03}".encode()
        for n in range(100)
    )
    body = local + packed
    ending = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 100, 100, len(entries), len(body), 0)
    (tmp_path / "a.zip").write_bytes(body + entries + ending)
    with pytest.raises((SourceError, DamagedError)):
        unzipped(tmp_path / "a.zip", target)


def test_zip_that_says_less_than_it_holds_is_damaged(target: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("dump.sql", b"content of it"))
    data = path.read_bytes().replace(struct.pack("<L", 13), struct.pack("<L", 5))
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        unzipped(path, target)


@pytest.mark.parametrize("change", ["cut", "front", "behind", "directory", "flipped"])
def test_damaged_zip_is_damage(target: Path, tmp_path: Path, change: str) -> None:
    path = zipped(tmp_path / "a.zip", ("dump.sql", os.urandom(5000)), ("filestore/ab/x", os.urandom(100)))
    data = path.read_bytes()
    changed: dict[str, Callable[[], bytes]] = {
        "cut": lambda: data[:-40],
        "front": lambda: b"#!/bin/sh\n" + data,
        "behind": lambda: data + b"x",
        "directory": lambda: data.replace(b"PK\x01\x02", b"PK\x01\x03", 1),
        "flipped": lambda: data[:2000] + bytes([data[2000] ^ 1]) + data[2001:],
    }
    path.write_bytes(changed[change]())
    with pytest.raises(DamagedError, match="not a whole zip"):
        unzipped(path, target)
