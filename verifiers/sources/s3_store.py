"""One prefix of a bucket: what is stored there, read by six calls that change nothing.

Invariant: requests go to AWS, or to the one endpoint that guardian.yaml names, whatever the environment says of
endpoints; TLS is verified; an object arrives as long as the listing says, from the version that was listed, or not at
all. Of what the store answers in words nothing is repeated: its code, the call and the place are.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from verifiers.compressed import DamagedError
from verifiers.sources.base import SourceError
from verifiers.sources.copying import new_file
from verifiers.sources.names import shown
from verifiers.sources.s3_client import client, telling
from verifiers.sources.s3_groups import Gone, Hold, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from verifiers.sources.base import Place

PART_BYTES: Final = 16 << 20
THREADS: Final = 8
_PIECE: Final = 1 << 20
_TRIES: Final = 3
_POLL_S: Final = 0.5
_LISTING_S: Final = 900.0
_URL = re.compile(r"s3://([a-z0-9][a-z0-9.\-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_NONE_SUCH: Final = {"NotImplemented", "MethodNotAllowed"}  # stores that keep no versions
# What stores say of an object that nothing holds, AWS first. InvalidRequest: its bucket has no object lock at all.
_NOT_LOCKED: Final = {
    "NoSuchObjectLockConfiguration",
    "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLegalHold",
    "InvalidRequest",
}


class _BrokenError(Exception):
    """An answer that ended before its end. done: bytes that came."""

    def __init__(self, why: str, done: int) -> None:
        super().__init__(why)
        self.done = done


class Store:
    """A prefix. bucket, prefix: of the URL; the prefix is empty or ends with a slash."""

    def __init__(self, place: Place) -> None:
        found = _URL.fullmatch(place.path)
        if found is None:
            raise SourceError(f"{place.shown!r} is no place in S3; write path: s3://BUCKET/PREFIX")
        self.bucket, prefix = found[1], (found[2] or "").strip("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{self.bucket}/{self.prefix}"
        self._place = place
        self._lock = threading.Lock()
        self._client: Any = None

    def name(self, stored: Stored) -> str:
        """Return how an object is called in messages."""
        version = f" (version {stored.version})" if stored.version is not None else ""
        return f"s3://{self.bucket}/{shown(stored.key)}{version}"

    def listing(self) -> tuple[list[Stored], list[Gone]]:
        """Return what is stored below the prefix, with earlier versions, and the delete markers. Raises SourceError."""
        answer = self._call("get_bucket_versioning", self.url, {}, unless=_NONE_SUCH)
        versions = answer.get("Status") is not None  # Enabled, or Suspended
        operation, member = ("list_object_versions", "Versions") if versions else ("list_objects_v2", "Contents")
        ends = time.monotonic() + _LISTING_S
        stored: list[Stored] = []
        gone: list[Gone] = []
        for page in self._pages(operation):
            if time.monotonic() > ends:
                raise SourceError(f"{self.url}: listing it took longer than {_LISTING_S:.0f} s; give a longer prefix")
            stored += [_stored(found) for found in page.get(member, ())]
            gone += [_gone(found) for found in page.get("DeleteMarkers", ())]
        return stored, gone

    def read(self, stored: Stored, first: int, count: int, take: Callable[[bytes], object]) -> None:
        """Hand over `count` bytes from `first` on, of this version and no other. Raises SourceError, DamagedError.

        Where an answer breaks off, it is asked again for what lacks.
        """
        done, tries = 0, 0
        while done < count:
            try:
                done += self._read(stored, first + done, count - done, take)
            except _BrokenError as error:
                done, tries = done + error.done, tries + 1
                if tries == _TRIES:
                    raise SourceError(
                        f"{self.name(stored)}: the store sent {first + done} bytes of {stored.size}, {_TRIES} times"
                        f" with an early end ({error}); try again, and look at the object if that stays so"
                    ) from error

    def download(self, wanted: Mapping[Path, Stored], told: Callable[[int], None]) -> None:
        """Write objects to new files, several parts at once. told: the bytes so far; what it raises ends the work."""
        parts = []
        for path, stored in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new_file(path).close()
            parts += [(path, stored, first) for first in range(0, stored.size, PART_BYTES)]
        work = _Work(told)

        def fetch(part: tuple[Path, Stored, int]) -> None:
            path, stored, first = part
            with path.open("r+b", buffering=0) as file:
                file.seek(first)

                def take(data: bytes) -> None:
                    view = memoryview(data)
                    while view:
                        view = view[file.write(view) :]
                    work.add(len(data))

                self.read(stored, first, min(PART_BYTES, stored.size - first), take)

        work.each(fetch, parts)

    def digests(self, wanted: Sequence[Stored], new: Callable[[], Any]) -> dict[Stored, str]:
        """Return the hex digests of objects, each read once. new: makes the hash."""
        work, found = _Work(lambda _: None), {}

        def digest(stored: Stored) -> None:
            sha = new()

            def take(data: bytes) -> None:
                sha.update(data)
                work.add(len(data))

            self.read(stored, 0, stored.size, take)
            found[stored] = sha.hexdigest()

        work.each(digest, wanted)
        return found

    def holds(self, wanted: Sequence[Stored], needed: datetime) -> list[Hold]:
        """Return what holds each object. needed: a legal hold is asked for only where retention ends before."""
        work, found = _Work(lambda _: None), {}

        def look(stored: Stored) -> None:
            answer = self._held("get_object_retention", stored).get("Retention", {})
            mode, until = answer.get("Mode"), answer.get("RetainUntilDate")
            legal = False
            if until is None or until < needed:
                legal = self._held("get_object_legal_hold", stored).get("LegalHold", {}).get("Status") == "ON"
            found[stored] = Hold(stored.key, mode, until, legal)
            work.add(0)

        work.each(look, wanted)
        return [found[stored] for stored in wanted]

    def _held(self, operation: str, stored: Stored) -> Mapping[str, Any]:
        return self._call(operation, self.name(stored), _which(stored), unless=_NOT_LOCKED)

    def _read(self, stored: Stored, first: int, count: int, take: Callable[[bytes], object]) -> int:
        asked = {**_which(stored), "IfMatch": stored.etag}
        if (first, count) != (
            0,
            stored.size,
        ):  # of a whole object the library compares the checksum, of a part it cannot
            asked["Range"] = f"bytes={first}-{first + count - 1}"
        answer = self._call("get_object", self.name(stored), asked)
        done = 0
        with contextlib.closing(answer["Body"]) as body:
            while True:
                try:
                    data = body.read(_PIECE)
                except FlexibleChecksumError as error:
                    raise DamagedError(
                        f"{self.name(stored)}: what arrived is not what the store's checksum of it says: the object is"
                        " damaged there, or was changed on the way"
                    ) from error
                except (BotoCoreError, OSError) as error:
                    raise _BrokenError(type(error).__name__, done) from error
                if not data:
                    break
                if done + len(data) > count:
                    raise SourceError(f"{self.name(stored)}: the store sent more than the {count} bytes asked for")
                take(data)
                done += len(data)
        if done < count:
            raise _BrokenError("nothing more came", done)
        return done

    def _pages(self, operation: str) -> Iterator[Mapping[str, Any]]:
        with telling(operation, self.url, self._place):
            yield from self._session().get_paginator(operation).paginate(Bucket=self.bucket, Prefix=self.prefix)

    def _call(
        self, operation: str, about: str, arguments: Mapping[str, str], *, unless: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """Return the answer to one call, an empty one for the error codes `unless`. Raises SourceError."""
        with telling(operation, about, self._place):
            try:
                answer: Mapping[str, Any] = getattr(self._session(), operation)(Bucket=self.bucket, **arguments)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in unless:
                    return {}
                raise
            return answer

    def _session(self) -> Any:  # noqa: ANN401 -- made at run time by the library
        with self._lock:  # making a client is not safe in threads, using one is
            if self._client is None:
                self._client = client(self._place, THREADS)
            return self._client


class _Work:
    """Parts done in threads, told of in the one that waits for them; the first error ends them all."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._lock = threading.Lock()
        self._bytes, self._stopped = 0, False

    def add(self, count: int) -> None:
        """Count bytes; ends the thread that does so once others failed."""
        with self._lock:
            self._bytes += count
            if self._stopped:
                raise SourceError("stopped, as another part failed")

    def each(self, act: Callable[[Any], None], parts: Sequence[Any]) -> None:
        """Do all parts. Raises what one of them raised, or `told`."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="s3") as pool:
            pending = {pool.submit(act, part) for part in parts}
            try:
                while pending:
                    finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                    self._told(self._bytes)
            except BaseException:
                self._stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _which(stored: Stored) -> dict[str, str]:
    """Return the arguments that name an object; without versions, the null version is named by nothing."""
    return {"Key": stored.key, **({"VersionId": stored.version} if stored.version is not None else {})}


def _stored(found: Mapping[str, Any]) -> Stored:
    version = found.get("VersionId")
    return Stored(
        found["Key"],
        version if version != "null" else None,
        found["Size"],
        found["ETag"],
        found["LastModified"].astimezone(UTC),
        current=bool(found.get("IsLatest", True)),
    )


def _gone(found: Mapping[str, Any]) -> Gone:
    return Gone(found["Key"], found["LastModified"].astimezone(UTC), bool(found["IsLatest"]))
