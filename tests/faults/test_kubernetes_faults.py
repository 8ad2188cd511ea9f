"""What an API server may do in the middle of a list, done to the collector by something that stands in between."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from guardian.collectors import Observed, Unreadable, kubernetes_calls
from guardian.collectors.kubernetes import Kubernetes
from guardian.collectors.kubernetes_errors import ListError
from guardian.collectors.kubernetes_session import Session
from guardian.settings import KubernetesCollector
from tests.tools.kube_interposer import Interposer, refusal, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tools.kube import KubeApi
    from tests.tools.kube_interposer import Canned

NODE = "k8s.core.Node"
ROLE = "k8s.rbac.authorization.k8s.io.ClusterRole"  # a fresh server has some eighty


class Once:
    """Answers the first `times` requests that `meant` says are meant; all others go through."""

    def __init__(self, canned: Canned, meant: Callable[[str], bool] = lambda _path: True, times: int = 1) -> None:
        self._canned, self._meant, self.left = canned, meant, times

    def __call__(self, path: str) -> Canned | None:
        if self.left and self._meant(path):
            self.left -= 1
            return self._canned
        return None


def listed(
    between: Interposer, folder: Path, kind: str = ROLE, page: int = 20
) -> tuple[list[dict[str, Any]], list[float]]:
    """Return what a session lists and the seconds it paused, without pausing."""
    pauses: list[float] = []
    with Session(KubernetesCollector("c", between.kubeconfig(folder)), pause=pauses.append, page=page) as session:
        return list(session.objects(kind)), pauses


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


def is_continued(path: str) -> bool:
    return "continue" in parse_qs(urlsplit(path).query)


@pytest.fixture
def roles(kube_api: KubeApi) -> list[str]:
    found = names(kube_api.call("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles").expect(200)["items"])
    assert len(found) > 60
    return found


def test_list_whose_place_was_forgotten_begins_again_and_yields_nothing_twice(
    kube_api: KubeApi, tmp_path: Path, roles: list[str]
) -> None:
    gone = Once(refusal(410, "The provided continue parameter is too old"), is_continued)
    with Interposer(kube_api, gone) as between:
        items, pauses = listed(between, tmp_path)
    assert (names(items), pauses) == (roles, [])
    assert sum(not is_continued(path) for path, _ in between.asked) == 2


def test_list_that_is_forgotten_again_and_again_is_given_up(kube_api: KubeApi, tmp_path: Path) -> None:
    with (
        Interposer(kube_api, Once(refusal(410), is_continued, times=99)) as between,
        pytest.raises(ListError, match="broke off 4 times") as caught,
    ):
        listed(between, tmp_path)
    assert (caught.value.reason, caught.value.whole) == ("expired", False)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_or_failing_server_is_asked_again_after_a_growing_pause(
    kube_api: KubeApi, tmp_path: Path, roles: list[str], status: int
) -> None:
    with Interposer(kube_api, Once(refusal(status), is_continued, times=3)) as between:
        items, pauses = listed(between, tmp_path)
    assert names(items) == roles
    assert len(pauses) == 3
    assert pauses[0] < pauses[1] < pauses[2] < 3


def test_server_says_how_long_to_wait_within_reason(kube_api: KubeApi, tmp_path: Path, roles: list[str]) -> None:
    for said, waited in (("7", 7), ("99999", 30)):
        with Interposer(kube_api, Once(refusal(429, "slow down", Retry_After=said))) as between:
            items, pauses = listed(between, tmp_path)
        assert (names(items), pauses) == (roles, [waited])


def test_kind_whose_list_keeps_failing_costs_that_kind_only(
    kube_api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_calls, "_pause_s", lambda *_: 0.0)
    broken = Once(refusal(503, "etcd is away"), lambda path: "/nodes" in path, times=99)
    with Interposer(kube_api, broken) as between:
        settings = KubernetesCollector("c", between.kubeconfig(tmp_path), None, (NODE, ROLE))
        found = list(Kubernetes(settings).collect(datetime(2026, 11, 23, tzinfo=UTC)))
    detail = "listing nodes: the API server answered 503, 5 times: etcd is away"
    assert found[0] == Unreadable(NODE, "server-error", detail)
    assert all(isinstance(item, Observed) for item in found[1:])
    assert len(found) > 60


@pytest.mark.parametrize(
    ("canned", "reason", "said"),
    [
        ((200, {}, b"<html>Welcome to the proxy</html>"), "malformed", "its answer is no JSON"),
        ((200, {}, b"[]"), "malformed", "its answer is no object"),
        ((200, {}, b"{}"), "malformed", "not what an API server sends"),
        ((200, {}, b'{"items": [7]}'), "malformed", "not what an API server sends"),
        (refusal(400, "who are you"), "server-error", "answered 400: who are you"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "server-error", "answered 302"),
    ],
)
def test_answer_that_is_none_is_told(kube_api: KubeApi, tmp_path: Path, canned: Canned, reason: str, said: str) -> None:
    with Interposer(kube_api, lambda _path: canned) as between, pytest.raises(ListError, match=said) as caught:
        listed(between, tmp_path)
    assert (caught.value.reason, caught.value.whole) == (reason, False)
    assert len(between.asked) == 1


def test_page_that_is_too_large_is_asked_in_smaller_ones(
    kube_api: KubeApi, tmp_path: Path, roles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_calls, "MAX_BYTES", 60_000)
    with Interposer(kube_api) as between:
        items, _ = listed(between, tmp_path, page=500)
    assert names(items) == roles
    limits = [int(parse_qs(urlsplit(path).query)["limit"][0]) for path, _ in between.asked]
    assert limits[:2] == [500, 250]
    assert limits[-1] < 100
    monkeypatch.setattr(kubernetes_calls, "MAX_BYTES", 100)
    with Interposer(kube_api) as between, pytest.raises(ListError, match="is larger than") as caught:
        listed(between, tmp_path)
    assert caught.value.reason == "too-large"


def test_object_of_a_list_that_is_none_costs_one_message(kube_api: KubeApi, tmp_path: Path) -> None:
    items = [{"metadata": {"name": "a/b"}}, {"metadata": {"name": "n1"}}, {}]
    canned: Canned = (200, {}, orjson.dumps({"items": items, "metadata": {}}))
    with Interposer(kube_api, lambda _path: canned) as between:
        settings = KubernetesCollector("c", between.kubeconfig(tmp_path), None, (NODE,))
        found = list(Kubernetes(settings).collect(datetime(2026, 11, 23, tzinfo=UTC)))
    assert [type(item).__name__ for item in found] == ["Unreadable", "Observed", "Unreadable"]
    assert isinstance(found[0], Unreadable)
    assert found[0].detail.startswith("an object of its list is none: metadata.name is not a name")


def test_deep_managed_fields_of_one_pod_cost_nothing(kube_api: KubeApi, kube_namespace: str) -> None:
    """Whoever may create a pod may have a field manager write this; no control may become blind by it."""
    levels = 4000
    pods = f"/api/v1/namespaces/{kube_namespace}/pods"
    for name in ("a", "b", "c"):
        body: dict[str, Any] = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
        kube_api.call("POST", pods, body).expect(201)
    about = {"manager": "m", "operation": "Update", "apiVersion": "v1", "time": "2026-11-23T00:00:00Z"}
    about |= {"fieldsType": "FieldsV1", "fieldsV1": "DEEP"}
    patch = json.dumps({"metadata": {"managedFields": [about]}})
    patch = patch.replace('"DEEP"', '{"f:a":' * levels + "{}" + "}" * levels)
    context = ssl.create_default_context(cafile=str(kube_api.ca_file))
    connection = http.client.HTTPSConnection(kube_api.url.removeprefix("https://"), context=context, timeout=60)
    with contextlib.closing(connection):
        headers = {
            "Authorization": f"Bearer {kube_api.admin_token}",
            "Content-Type": "application/merge-patch+json",
        }
        connection.request("PATCH", f"{pods}/b", patch, headers)
        response = connection.getresponse()
        answer = response.read()
    assert response.status == 200, answer
    assert answer.count(b'"f:a"') >= levels
    settings = KubernetesCollector("c", kube_api.kubeconfig(), None, ("k8s.core.Pod", NODE, ROLE))
    found = list(Kubernetes(settings).collect(datetime(2026, 11, 23, tzinfo=UTC)))
    assert kube_api.call("DELETE", f"{pods}/b", gracePeriodSeconds="0").status == 200  # before others list it
    assert [item for item in found if isinstance(item, Unreadable)] == []
    keys = [item.key for item in found if isinstance(item, Observed)]
    assert [key[-1] for key in keys if f"/Pod/{kube_namespace}/" in key] == ["a", "b", "c"]
    assert sum("/ClusterRole/" in key for key in keys) > 60


def test_object_that_nests_too_deeply_costs_one_message_that_names_it(kube_api: KubeApi, tmp_path: Path) -> None:
    levels = 3000
    deep = '{"a]}":[' * levels + '"\\"{["' + "]}" * levels
    items = ",".join(f'{{"metadata":{{"name":"n{n}"}},"spec":{deep if n == 1 else "[]"}}}' for n in range(3))
    canned: Canned = (200, {}, f'{{"metadata":{{}},"items":[{items}]}}'.encode())
    with Interposer(kube_api, lambda path: canned if "/nodes" in path else None) as between:
        settings = KubernetesCollector("c", between.kubeconfig(tmp_path), None, (NODE, ROLE))
        found = list(Kubernetes(settings).collect(datetime(2026, 11, 23, tzinfo=UTC)))
    assert isinstance(found[0], Observed)
    assert found[1] == Unreadable(NODE, "too-deep", "Node n1 nests too deeply, more than 200 levels")
    assert isinstance(found[2], Observed)
    assert found[2].key == "c/core/Node/n2"
    assert len(found) > 60


def test_connection_that_breaks_inside_an_answer_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def break_off() -> None:
            for _ in range(5):
                connection, _address = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"items": [')

        thread = threading.Thread(target=break_off)
        thread.start()
        path = write_kubeconfig(tmp_path / "k.json", f"http://127.0.0.1:{server.getsockname()[1]}", "t")
        pauses: list[float] = []
        with (
            pytest.raises(ListError) as caught,
            Session(KubernetesCollector("c", path), pause=pauses.append) as session,
        ):
            list(session.objects(NODE))
        thread.join()
    assert (caught.value.reason, caught.value.whole, len(pauses)) == ("unreachable", True, 4)


def test_answer_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_calls, "_REQUEST_S", 0.2)
    monkeypatch.setattr(kubernetes_calls, "_ATTEMPTS", 1)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not ended.wait(0.02):  # each byte in time, the whole never
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        path = write_kubeconfig(tmp_path / "k.json", f"http://127.0.0.1:{server.getsockname()[1]}", "t")
        with (
            pytest.raises(ListError, match="did not end in") as caught,
            Session(KubernetesCollector("c", path)) as session,
        ):
            list(session.objects(NODE))
        ended.set()
        thread.join()
    assert caught.value.reason == "unreachable"


def test_proxies_of_the_environment_are_not_used(
    kube_api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Session(KubernetesCollector("c", kube_api.kubeconfig())) as session:
        assert session.version() == kube_api.version
    with Interposer(kube_api) as between:
        assert listed(between, tmp_path)[0]


def test_collecting_leaves_no_file_and_no_open_descriptor(
    kube_api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    authority = {"certificate-authority-data": base64.b64encode(kube_api.ca_file.read_bytes()).decode()}
    path = write_kubeconfig(tmp_path / "k.json", kube_api.url, kube_api.admin_token, **authority)
    descriptors = Path("/proc/self/fd")
    before = {entry.name for entry in descriptors.iterdir()}
    with Session(KubernetesCollector("c", path)) as session:
        assert list(session.objects(ROLE))
    assert {entry.name for entry in descriptors.iterdir()} == before
    assert list(temporary.iterdir()) == []
