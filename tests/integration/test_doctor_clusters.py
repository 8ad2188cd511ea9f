from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING

from guardian import config
from guardian.collectors import kubernetes_calls
from guardian.kubernetes_kinds import DEFAULT_KINDS
from guardian.usecases.doctor import Item, State, _clusters
from tests.tools.kube_interposer import write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.tools.kube import KubeApi


def clusters(folder: Path, *collectors: str) -> list[Item]:
    """What doctor says of clusters that are configured by these keys."""
    lines = [f"- {{name: c{n}, type: kubernetes, {keys}}}\n" for n, keys in enumerate(collectors)]
    path = folder / "guardian.yaml"
    path.write_text("environment: test\ncollectors:\n" + "".join(lines), encoding="utf-8")
    return list(_clusters(config.load(path), lambda _said: None))


def test_doctor_names_the_version_and_counts_what_it_may_list(kube_api: KubeApi, tmp_path: Path) -> None:
    [item] = clusters(tmp_path, f"kubeconfig: {kube_api.kubeconfig()}")
    detail = f"Kubernetes {kube_api.version}; all {len(DEFAULT_KINDS)} kinds can be listed"
    assert item == Item("cluster c0", State.OK, detail)


def test_doctor_names_each_kind_that_may_not_be_listed(kube_api: KubeApi, tmp_path: Path) -> None:
    keys = f"kubeconfig: {kube_api.kubeconfig('nobody')}, kinds: [k8s.core.Pod, k8s.core.Node]"
    [item] = clusters(tmp_path, keys)
    assert item.state is State.MISSING
    said = f'Kubernetes {kube_api.version}; cannot list k8s.core.Pod, k8s.core.Node; the first: user "nobody" may not'
    assert item.detail.startswith(said)
    assert "deploy/kubernetes-collector.yaml" in item.remedy


def test_doctor_tells_of_a_cluster_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_calls, "_pause_s", lambda *_: 0.0)
    token = secrets.token_hex(8)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{held.getsockname()[1]}"
        [item] = clusters(tmp_path, f"kubeconfig: {write_kubeconfig(tmp_path / 'k.json', server, token)}")
    assert (item.state, item.detail) == (State.MISSING, "asking for its version: Connection refused")
    assert token not in str(item)
