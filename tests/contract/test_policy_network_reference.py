"""What the network controls say of random policies is what a plain reading of the Kubernetes API says, written anew.

The reference asks of every source there is, or could be, whether one packet gets through; the controls never ask that.
"""

from __future__ import annotations

import copy
import ipaddress
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardian.model import Verdict
from guardian.policy import verdicts
from tests import policy_support as make

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guardian.model import Resource
    from guardian.policy.bundle import Bundle
    from guardian.policy.wasm import WasmEngine

Labels = dict[str, str]
WITHIN_SESSION = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
NAME = "kubernetes.io/metadata.name"
KEYS = {"app": ["db", "web"], "tier": ["1", "2"]}
EVERY_LABELS: list[Labels] = [
    {key: value for key, value in zip(KEYS, values, strict=True) if value}
    for values in itertools.product(*([None, *choices, "other"] for choices in KEYS.values()))
]
PORT = 5432
NAMED = {"db": PORT, "metrics": 9187}
PARAMS = {
    "network.database-reach": {"ports": ["5432"], "allowedNamespaces": ["ops"], "allowedBlocks": ["10.0.0.0/8"]},
    "network.default-deny": {"exempt": []},
}


# The reference: https://kubernetes.io/docs/concepts/services-networking/network-policies/, word by word.


def selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether all requirements of a selector hold."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for requirement in selector.get("matchExpressions") or []:
        present, operator = requirement["key"] in labels, requirement["operator"]
        listed = present and labels[requirement["key"]] in (requirement.get("values") or [])
        if not {"In": listed, "NotIn": not listed, "Exists": present, "DoesNotExist": not present}[operator]:
            return False
    return True


def restricting(policies: Sequence[Mapping[str, Any]], direction: str, pod: Labels) -> list[Mapping[str, Any]]:
    """Return the policies that isolate a pod in one direction."""
    found = []
    for spec in policies:
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        if direction in types and selected(spec.get("podSelector") or {}, pod):
            found.append(spec)
    return found


def rule_covers(rule: Mapping[str, Any], port: int) -> bool:
    """Tell whether a rule is about this TCP port of a pod with the ports NAMED."""
    if not rule.get("ports"):
        return True
    for entry in rule["ports"]:
        if (entry.get("protocol") or "TCP") != "TCP":
            continue
        first = entry.get("port")
        first = NAMED.get(first, 0) if isinstance(first, str) else first
        if first is None or first <= port <= (entry.get("endPort") or first):
            return True
    return False


def peer_admits(peer: Mapping[str, Any], home: str, source: Source) -> bool:
    """Tell whether a peer of a policy in namespace `home` is the source."""
    if peer.get("ipBlock"):
        block = peer["ipBlock"]
        networks = [ipaddress.ip_network(cidr) for cidr in (block["cidr"], *(block.get("except") or []))]
        inside = [source.address is not None and source.address in network for network in networks]
        return inside[0] and not any(inside[1:])
    if source.namespace is None:
        return False
    if peer.get("namespaceSelector") is None:
        namespace_fits = source.namespace == home
    else:
        namespace_fits = selected(peer["namespaceSelector"], source.namespace_labels)
    return namespace_fits and selected(peer.get("podSelector") or {}, source.labels)


class Source:
    """Where a packet comes from: an address outside, or a pod that there is or could be."""

    def __init__(
        self,
        address: str | None = None,
        namespace: str | None = None,
        namespace_labels: Labels | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.address = ipaddress.ip_address(address) if address else None
        self.namespace, self.namespace_labels, self.labels = namespace, namespace_labels or {}, labels or {}


def reaches(policies: Sequence[Mapping[str, Any]], home: str, pod: Labels, source: Source) -> bool:
    """Tell whether a packet from `source` gets to PORT of `pod` in namespace `home`."""
    found = restricting(policies, "Ingress", pod)
    return not found or any(
        rule_covers(rule, PORT)
        and (not rule.get("from") or any(peer_admits(peer, home, source) for peer in rule["from"]))
        for spec in found
        for rule in spec.get("ingress") or []
    )


# Random estates.


def selectors(keys: Mapping[str, Sequence[str]]) -> st.SearchStrategy[dict[str, Any]]:
    """Selectors with at most one requirement a key, so that each can be met."""

    def requirement(key: str) -> st.SearchStrategy[tuple[str, Any] | None]:
        values = st.lists(st.sampled_from(keys[key]), min_size=1, max_size=2, unique=True)
        listed = st.builds(
            lambda operator, some: ("x", {"key": key, "operator": operator, "values": some}),
            st.sampled_from(["In", "NotIn"]),
            values,
        )
        bare = st.sampled_from(["Exists", "DoesNotExist"]).map(
            lambda operator: ("x", {"key": key, "operator": operator})
        )
        equal = st.sampled_from(keys[key]).map(lambda value: (key, value))
        return st.one_of(st.none(), st.none(), equal, equal, listed, bare)

    def made(parts: Sequence[tuple[str, Any] | None]) -> dict[str, Any]:
        selector: dict[str, Any] = {}
        for part in filter(None, parts):
            if part[0] == "x":
                selector.setdefault("matchExpressions", []).append(part[1])
            else:
                selector.setdefault("matchLabels", {})[part[0]] = part[1]
        return selector

    return st.tuples(*(requirement(key) for key in keys)).map(made)


PODS = selectors(KEYS)
NAMESPACES = selectors({"team": ["a", "b"], NAME: ["erp", "crm", "ops"]})
BLOCKS = st.sampled_from(
    [
        {"cidr": "10.1.0.0/16"},
        {"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"]},
        {"cidr": "0.0.0.0/0"},
        {"cidr": "198.51.100.0/24"},
    ]
)
PEERS = st.one_of(
    PODS.map(lambda pods: {"podSelector": pods}),
    PODS.map(lambda pods: {"podSelector": pods}),
    NAMESPACES.map(lambda some: {"namespaceSelector": some}),
    st.builds(lambda pods, some: {"podSelector": pods, "namespaceSelector": some}, PODS, NAMESPACES),
    BLOCKS.map(lambda block: {"ipBlock": block}),
)
PORTS = st.sampled_from(
    [
        *[None, [], [{"port": PORT}], [{"port": "db"}], [{"port": 5000, "endPort": 6000, "protocol": "TCP"}]],
        *[[{"protocol": "TCP"}], [{"port": 9187}], [{"port": "metrics"}], [{"port": PORT, "protocol": "UDP"}]],
        *[[{"protocol": "UDP"}], [{"port": 80}, {"port": PORT}], [{"port": 5433, "endPort": 65535}]],
    ]
)


def rules(peers: str) -> st.SearchStrategy[dict[str, Any]]:
    """Rules, few of them for everyone."""
    some = st.one_of(st.lists(PEERS, min_size=1, max_size=2), st.lists(PEERS, min_size=1, max_size=2), st.just([]))
    return st.builds(
        lambda who, ports: {peers: who, **({} if ports is None else {"ports": ports})},
        some,
        PORTS,
    )


TYPES = st.sampled_from([None, None, [], ["Ingress"], ["Egress"], ["Ingress", "Egress"]])
SPECS = st.builds(
    lambda pods, types, incoming, outgoing: {
        key: value
        for key, value in (
            *(("podSelector", pods), ("policyTypes", types)),
            *(("ingress", incoming), ("egress", outgoing)),
        )
        if value is not None
    },
    st.one_of(st.just({}), PODS),
    TYPES,
    st.one_of(st.none(), st.lists(rules("from"), max_size=2)),
    st.one_of(st.none(), st.lists(rules("to"), max_size=1)),
)
SERVICES = st.sampled_from(["erp", "erp", "crm", None])
SOME_LABELS = st.sampled_from(EVERY_LABELS)
TEAMS = st.sampled_from([{}, {"team": "a"}, {"team": "b"}])
ESTATES = st.fixed_dictionaries(
    {
        "policies": st.lists(SPECS, max_size=3),
        "database": SOME_LABELS,
        "service": SERVICES,
        "namespaces": st.fixed_dictionaries(dict.fromkeys(["erp", "crm", "ops"], st.tuples(TEAMS, SERVICES))),
        "pods": st.lists(st.tuples(st.sampled_from(["erp", "crm", "ops"]), SOME_LABELS, SERVICES), max_size=4),
    }
)


def kubernetes(kind: str, namespace: str, name: str, attributes: Mapping[str, Any], service: str | None) -> Resource:
    """Return one object of cluster `prod`."""
    identity = f"k8s:prod/{kind}/{namespace}/{name}"
    found = make.resource(kind, identity, attributes, collector=("kubernetes", "prod"), service=service)
    scope = {"cluster": "prod", "namespace": namespace, "labels": attributes["metadata"].get("labels", {})}
    return type(found)(**{**{field: getattr(found, field) for field in found.__slots__}, "scope": scope})


def resources(estate: Mapping[str, Any]) -> list[Resource]:
    """Return the estate as collected; the database first."""
    ports = [{"name": name, "containerPort": number} for name, number in NAMED.items()]

    def pod(namespace: str, name: str, labels: Labels, service: str | None, ports: list[dict[str, Any]]) -> Resource:
        attributes = {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"ports": ports}]}}
        return kubernetes("k8s.core.Pod", namespace, name, attributes, service)

    found = [pod("erp", "db-0", estate["database"], estate["service"], ports)]
    found += [pod(where, f"p{i}", labels, owner, []) for i, (where, labels, owner) in enumerate(estate["pods"])]
    for name, (labels, owner) in estate["namespaces"].items():
        metadata = {"name": name, "labels": labels}
        found.append(kubernetes("k8s.core.Namespace", name, name, {"metadata": metadata}, owner))
    for i, spec in enumerate(estate["policies"]):
        attributes = {"metadata": {"name": f"np{i}"}, "spec": spec}
        found.append(kubernetes("k8s.networking.k8s.io.NetworkPolicy", "erp", f"np{i}", attributes, None))
    selector = {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}
    found.append(kubernetes("k8s.core.Service", "erp", "s", {"metadata": {"name": "s"}, "spec": selector}, None))
    return found


def strangers(estate: Mapping[str, Any]) -> Iterator[Source]:
    """Yield every source that must not reach the database: addresses, pods there are, and pods there could be."""
    service, namespaces = estate["service"], estate["namespaces"]
    for address in ("198.51.100.7", "192.0.2.1", "11.0.0.1"):
        yield Source(address)

    def one_service(name: str) -> bool:
        return service is not None and namespaces[name][1] == service

    for name, (stated, _) in namespaces.items():
        if name == "ops":
            continue
        labels = {**stated, NAME: name}
        for where, of_pod, owner in estate["pods"]:
            if where == name and owner != service:
                yield Source(None, name, labels, of_pod)
        if not one_service(name):
            # In the database's own namespace only a pod that nobody labelled is nobody's for sure.
            for of_pod in [{}] if name == "erp" else EVERY_LABELS:
                yield Source(None, name, labels, of_pod)
    for of_pod in EVERY_LABELS:
        yield Source(None, "new", {NAME: "new"}, of_pod)


def judged(engine: WasmEngine, bundle: Bundle, control: str, found: Sequence[Resource]) -> dict[str, verdicts.Outcome]:
    """Return what a control says of all its subjects."""
    described = bundle.catalogue.controls[control]
    subjects = [entry.id for entry in found if entry.kind in described.judges]
    document = {
        "resources": {kind: [entry.to_json() for entry in found if entry.kind == kind] for kind in described.inputs},
        "services": {},
        "incomplete": [],
    }
    [judgement] = engine.judge("snapshot", {control: dict.fromkeys(subjects, PARAMS[control])}, document)
    assert judgement.error is None
    return verdicts.of_many(judgement, subjects, subjects)


def test_database_fails_exactly_where_a_packet_of_a_stranger_arrives(
    policy_bundle: Bundle, wasm_engine: WasmEngine
) -> None:
    seen: list[Verdict] = []

    @settings(max_examples=600, deadline=None, database=None, derandomize=True, suppress_health_check=WITHIN_SESSION)
    @given(ESTATES)
    def compare(estate: dict[str, Any]) -> None:
        found = resources(estate)
        outcome = judged(wasm_engine, policy_bundle, "network.database-reach", found)[found[0].id]
        policies, database = estate["policies"], estate["database"]
        reached = any(reaches(policies, "erp", database, source) for source in strangers(estate))
        assert outcome.verdict is (Verdict.FAIL if reached else Verdict.PASS), outcome.message
        seen.append(outcome.verdict)

    compare()
    assert seen.count(Verdict.PASS) > 100
    assert seen.count(Verdict.FAIL) > 100


def test_namespace_fails_exactly_where_a_pod_is_open_or_a_policy_opens_it(
    policy_bundle: Bundle, wasm_engine: WasmEngine
) -> None:
    seen: list[Verdict] = []

    def everything(rule: Mapping[str, Any], peers: str) -> bool:
        ports = rule.get("ports")
        anyone = not rule.get(peers) or {"ipBlock": {"cidr": "0.0.0.0/0"}} in rule[peers]
        return anyone and (not ports or any(entry.keys() <= {"protocol"} for entry in ports))

    def denied(policies: Sequence[Mapping[str, Any]], direction: str) -> bool:
        whole = [
            spec
            for spec in policies
            if all(spec in restricting([spec], direction, labels) for labels in [*EVERY_LABELS, {"new": "x"}])
        ]
        unnamed = restricting(policies, direction, {})
        key, peers = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}[direction]
        return bool(whole) and not any(everything(rule, peers) for spec in unnamed for rule in spec.get(key) or [])

    @settings(max_examples=400, deadline=None, database=None, derandomize=True, suppress_health_check=WITHIN_SESSION)
    @given(ESTATES)
    def compare(estate: dict[str, Any]) -> None:
        outcomes = judged(wasm_engine, policy_bundle, "network.default-deny", resources(estate))
        outcome = outcomes["k8s:prod/k8s.core.Namespace/erp/erp"]
        right = all(denied(estate["policies"], direction) for direction in ("Ingress", "Egress"))
        assert outcome.verdict is (Verdict.PASS if right else Verdict.FAIL), outcome.message
        assert outcomes["k8s:prod/k8s.core.Namespace/crm/crm"].verdict is Verdict.FAIL
        seen.append(outcome.verdict)

    compare()
    assert seen.count(Verdict.PASS) > 10
    assert seen.count(Verdict.FAIL) > 100


def as_a_server_returns_it(found: Resource) -> Resource:
    """Return the object with what an API server fills in."""
    attributes: Any = copy.deepcopy(dict(found.attributes))
    spec = attributes.get("spec", {})
    if found.kind == "k8s.core.Namespace":
        attributes["metadata"]["labels"][NAME] = attributes["metadata"]["name"]
        attributes["status"] = {"phase": "Active"}
    if found.kind == "k8s.networking.k8s.io.NetworkPolicy":
        spec.setdefault("podSelector", {})
        spec["policyTypes"] = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
            for port in rule.get("ports") or []:
                port.setdefault("protocol", "TCP")
            for empty in [name for name in ("from", "to", "ports") if rule.get(name) == []]:
                del rule[empty]
        for empty in [name for name in ("ingress", "egress") if spec.get(name) == []]:
            del spec[empty]
    if found.kind == "k8s.core.Service":
        spec |= {"type": "ClusterIP", "clusterIP": "10.0.0.9", "sessionAffinity": "None", "ipFamilies": ["IPv4"]}
        spec["ports"] = [{"protocol": "TCP", "targetPort": port["port"], **port} for port in spec["ports"]]
    if found.kind == "k8s.core.Pod":
        spec |= {"dnsPolicy": "ClusterFirst", "securityContext": {}, "restartPolicy": "Always"}
        for container in spec["containers"]:
            container["ports"] = [{"protocol": "TCP", **port} for port in container["ports"]]
            if not container["ports"]:
                del container["ports"]
    return type(found)(**{**{field: getattr(found, field) for field in found.__slots__}, "attributes": attributes})


@pytest.mark.parametrize("control", sorted(PARAMS))
def test_what_a_server_fills_in_changes_no_finding(
    control: str, policy_bundle: Bundle, wasm_engine: WasmEngine
) -> None:
    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=WITHIN_SESSION)
    @given(ESTATES)
    def compare(estate: dict[str, Any]) -> None:
        written = resources(estate)
        live = [as_a_server_returns_it(entry) for entry in written]
        told = judged(wasm_engine, policy_bundle, control, written)
        assert told == judged(wasm_engine, policy_bundle, control, live)

    compare()
