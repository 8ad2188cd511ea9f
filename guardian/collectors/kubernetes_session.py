"""Every object of a kind from one API server, page by page; what is denied or not served says what to do about it.

Invariant: at most one page is held. Only `GET` of lists, of /version and, for kinds unknown here, of discovery is sent.
The library's own discovery is not used: it keeps what it found, unprotected, under a name that anyone can guess in the
folder for temporary files. Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, Final, Self

from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.resource import Resource

from guardian.collectors.kubernetes_access import configured
from guardian.collectors.kubernetes_calls import MAX_BYTES, Calls
from guardian.collectors.kubernetes_errors import AccessError, ListError, RefusedError, TooLargeError
from guardian.kubernetes_kinds import PLURALS, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from guardian.settings import KubernetesCollector

PAGE: Final = 500  # objects, as kubectl asks
_KIND_S: Final = 900
_RESTARTS: Final = 3
_ONLY_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_SECRET_KIND: Final = "k8s.core.Secret"  # noqa: S105 -- the kind, not a secret


class _ExpiredError(Exception):
    """The server forgot where the list was."""


class Session:
    """A connection to one API server while the `with` block runs.

    pause: how to wait, `time.sleep` but in tests. page: objects a page.
    Raises ListError on entry if the cluster cannot be reached as configured.
    """

    def __init__(
        self, settings: KubernetesCollector, *, pause: Callable[[float], None] = time.sleep, page: int = PAGE
    ) -> None:
        self._settings, self._pause, self._page = settings, pause, page
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            configuration = self._open.enter_context(configured(self._settings))
        except AccessError as error:
            raise ListError("not-configured", str(error), whole=True) from error
        client: Any = self._open.enter_context(contextlib.closing(ApiClient(configuration)))
        client.user_agent = "guardian"
        dynamic: Any = DynamicClient
        self._dynamic = dynamic(client, discoverer=lambda _client, _cache: None)
        kubeconfig = self._settings.kubeconfig
        whose = f"kubeconfig {kubeconfig}" if kubeconfig else "the pod's service account"
        self._calls = Calls(self._dynamic, whose, self._pause)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    def version(self) -> str:
        """Return what the server says it is, such as `v1.36.2`. Raises ListError."""
        try:
            return str(self._calls.get("/version", "asking for its version").get("gitVersion"))
        except RefusedError as error:
            raise ListError("forbidden", f"the API server does not tell its version: {error.said}") from error

    def objects(self, kind: str, *, only_first: bool = False) -> Iterator[dict[str, Any]]:
        """Yield every object of `kind`, with its apiVersion and kind, as the pages come; of Secrets metadata alone.

        If the server forgets where the list was, it begins again; what was yielded is not yielded twice.
        only_first: end after one object, to see whether there is an answer. Raises ListError.
        """
        resource = self._resource(kind)
        seen: set[tuple[str | None, str | None]] = set()
        ends_at = time.monotonic() + _KIND_S
        for _ in range(_RESTARTS + 1):
            with contextlib.suppress(_ExpiredError):
                for item in self._pages(kind, resource, ends_at, 1 if only_first else self._page):
                    metadata = item.get("metadata")
                    place = metadata if isinstance(metadata, dict) else {}
                    key = (place.get("namespace"), place.get("name"))
                    if key not in seen:
                        seen.add(key)
                        yield item
                    if only_first:
                        return
                return
        times = _RESTARTS + 1
        raise ListError("expired", f"the list of {resource.name} broke off {times} times: the server forgot its place")

    def _pages(self, kind: str, resource: Resource, ends_at: float, page: int) -> Iterator[dict[str, Any]]:
        token = None
        while True:
            answer, page = self._a_page(kind, resource, token, page)
            items = answer.get("items")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise ListError("malformed", f"the list of {resource.name} is not what an API server sends")
            for item in items:
                yield {**item, "apiVersion": resource.group_version, "kind": resource.kind}
            metadata = answer.get("metadata")
            token = metadata.get("continue") if isinstance(metadata, dict) else None
            if not token:
                return
            if time.monotonic() > ends_at:
                raise ListError("deadline", f"the list of {resource.name} did not end in {_KIND_S} s")

    def _a_page(self, kind: str, resource: Any, token: str | None, page: int) -> tuple[dict[str, Any], int]:  # noqa: ANN401 -- of a library without types
        """Return one page and its size, which halves while what comes is too large to hold."""
        while True:
            asked: dict[str, Any] = {"limit": page, "_continue": token}
            if kind == _SECRET_KIND:
                asked["header_params"] = {"Accept": _ONLY_METADATA}
            try:
                return self._calls.get(resource.path(), f"listing {resource.name}", asked), page
            except RefusedError as error:
                if error.status == 410 and token:
                    raise _ExpiredError from error
                raise _not_listed(error, resource) from error
            except TooLargeError as error:
                if page == 1:
                    detail = f"an object of {resource.name} is larger than {MAX_BYTES} bytes"
                    raise ListError("too-large", detail) from error
                page = max(1, page // 2)

    def _resource(self, kind: str) -> Resource:
        """Return the place of `kind` in the API: known, or asked of the server's discovery. Raises ListError."""
        group, word = split(kind)
        if kind in PLURALS:
            return self._described(group, "v1", {"kind": word, "name": PLURALS[kind]})
        try:
            for version in self._versions(group) if group else ("v1",):
                path = f"/apis/{group}/{version}" if group else "/api/v1"
                for entry in self._calls.get(path, f"discovering {path}").get("resources") or ():
                    if entry.get("kind") == word and "/" not in entry.get("name", "/"):
                        if "list" not in entry.get("verbs", ()):
                            raise ListError("not-listable", f"{kind} cannot be listed; remove it from kinds")
                        return self._described(group, version, entry)
        except RefusedError as error:
            if error.status == 403:
                detail = f"discovering what {kind} is: {error.said}; bind the ClusterRole system:discovery to the user"
                raise ListError("forbidden", detail) from error
        raise _not_served(kind)

    def _versions(self, group: str) -> list[str]:
        """Return the versions of an API group, the preferred one first."""
        about = self._calls.get(f"/apis/{group}", f"discovering {group}")
        preferred = (about.get("preferredVersion") or {}).get("version")
        versions = [str(entry.get("version")) for entry in about.get("versions") or ()]
        return sorted(versions, key=lambda version: version != preferred)

    def _described(self, group: str, version: str, entry: Mapping[str, Any]) -> Resource:
        if re.fullmatch(r"[a-z0-9.-]+/v[a-z0-9]+", f"{entry['name']}/{version}") is None:
            raise ListError("malformed", "the discovery of the API server is not what one sends")
        made: Any = Resource
        prefix = "apis" if group else "api"
        return made(prefix, group, version, entry["kind"], name=entry["name"], client=self._dynamic)  # type: ignore[no-any-return]  # the library has no types


def _not_served(what: str) -> ListError:
    detail = f"this cluster serves no {what}; remove it from kinds, or install what serves it"
    return ListError("not-served", detail)


def _not_listed(error: RefusedError, resource: Any) -> ListError:  # noqa: ANN401 -- of a library without types
    if error.status != 403:
        return _not_served(f"{resource.group_version} {resource.kind}")
    found = re.search(r'User "([^"]*)"', error.said)
    user = f'user "{found[1]}"' if found else "the user of these credentials"
    rule = f'{{apiGroups: ["{resource.group}"], resources: ["{resource.name}"], verbs: ["list"]}}'
    detail = (
        f'{user} may not list resource "{resource.name}" of API group "{resource.group}" in all namespaces; grant it '
        f"with the rule {rule} in a ClusterRole bound to it, as deploy/kubernetes-collector.yaml does"
    )
    return ListError("forbidden", detail)
