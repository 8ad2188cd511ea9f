"""A Kubernetes object, from a live list, a manifest or an AdmissionReview alike -> what Guardian observed. No I/O.

Invariant: the same object gives the same id whatever it came from, nothing of a Secret's data leaves here, and what
the controls judge (images, security contexts, resources, rules, selectors) is named as open, whatever it looks like.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from guardian.collectors import Observed
from guardian.kubernetes_kinds import (
    CLUSTER_SCOPED,
    DEFAULT_KINDS,
    PREFIX,
    is_namespaced,
    kind_of,
)
from guardian.redact import CREDENTIAL, classify, ending, nests_deeper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CLUSTER_SCOPED", "DEFAULT_KINDS", "kind_of", "observe", "runs_nothing", "sensitive_paths"]

SECRET: Final = "k8s.core.Secret"  # noqa: S105 -- the kind, not a secret
CONFIG_MAP: Final = "k8s.core.ConfigMap"
NAMESPACE: Final = "k8s.core.Namespace"

# Where the pod spec stands in each kind that has one.
_POD_SPECS: Final = {
    "k8s.core.Pod": "/spec",
    "k8s.core.PodTemplate": "/template/spec",
    "k8s.core.ReplicationController": "/spec/template/spec",
    "k8s.apps.Deployment": "/spec/template/spec",
    "k8s.apps.StatefulSet": "/spec/template/spec",
    "k8s.apps.DaemonSet": "/spec/template/spec",
    "k8s.apps.ReplicaSet": "/spec/template/spec",
    "k8s.batch.Job": "/spec/template/spec",
    "k8s.batch.CronJob": "/spec/jobTemplate/spec/template/spec",
}
_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")

# Annotations in which tools keep a copy of the whole object, env values and all.
_COPIES: Final = ("*last-applied*", "kapp.k14s.io/original*", "objectset.rio.cattle.io/applied*")
_COPY = re.compile(r".*last-applied.*|kapp\.k14s\.io/original.*|objectset\.rio\.cattle\.io/applied.*", re.IGNORECASE)

# What is judged, in words that no secret has a place in. Images are judged too: see _has_odd_image.
_OPEN_METADATA: Final = ("name", "namespace", "generateName", "labels", "ownerReferences")
_OPEN_CONTAINER: Final = ("name", "image", "securityContext", "resources", "ports", "envFrom", "volumeMounts")
_OPEN_POD: Final = (
    *("securityContext", "serviceAccountName", "nodeName", "nodeSelector", "affinity", "tolerations", "overhead"),
    *("topologySpreadConstraints", "imagePullSecrets", "priorityClassName", "runtimeClassName", "resources"),
    *(
        f"volumes/*/{part}"
        for part in ("name", "configMap", "secret", "persistentVolumeClaim", "hostPath", "projected")
    ),
)
_OPEN: Final = {
    "k8s.core.Service": ("/spec/selector", "/spec/ports"),
    "k8s.networking.k8s.io.NetworkPolicy": ("/spec",),
    "k8s.policy.PodDisruptionBudget": ("/spec",),
    "k8s.rbac.authorization.k8s.io.ClusterRole": ("/rules", "/aggregationRule"),
    "k8s.rbac.authorization.k8s.io.ClusterRoleBinding": ("/subjects", "/roleRef"),
    "k8s.rbac.authorization.k8s.io.Role": ("/rules",),
    "k8s.rbac.authorization.k8s.io.RoleBinding": ("/subjects", "/roleRef"),
}
# A valid image reference: no scheme, no user, so nothing a secret fits in.
_IMAGE = re.compile(
    r"[\w.-]++(?::\d++(?=/))?+(?:/[\w.-]++)*+(?::[\w.-]{1,128}+)?+(?:@[\w.+-]++:[0-9a-fA-F]{32,256}+)?+"
)
# `password: x` and `password x` on a line of a file that a ConfigMap carries.
_FILE_WORDS: Final = (
    *("password", "passwd", "passphrase", "_pass", "masterauth", "requirepass", "secret", "token", "apikey"),
    *("api_key", "accesskey", "access_key", "privatekey", "private_key", "credential", "credentials"),
)
_FILE_LINE = re.compile(
    rf"^[ \t-]*+[\"']?[\w.-]*+{ending(_FILE_WORDS)}[\"']?(?:[ \t]*+:[ \t]++|[ \t]++)[\"']?[^\s\"'{{\[|>&#]",
    re.IGNORECASE | re.MULTILINE,
)
# Objects that people write are less than 40 levels deep, the schemas of CustomResourceDefinitions some 60.
DEEPEST: Final = 200


class TooDeepError(ValueError):
    """An object whose lists and mappings stand in one another more than DEEPEST deep."""


def observe(obj: Mapping[str, Any], *, cluster: str, default_namespace: str = "default") -> Observed:
    """Return `obj` as an observation of `cluster`, the name of the configured collector.

    obj: one object as JSON values; of a list, each item by itself. default_namespace: where an object without a
    namespace lands if its kind is known to have one; for kinds that Kubernetes does not define, what `obj` says holds.
    Raises ValueError, which says what is wrong and repeats nothing but names, if this is no Kubernetes object.
    """
    kind = kind_of(_text(obj, "apiVersion"), _text(obj, "kind"))
    if kind.endswith("List") and isinstance(obj.get("items"), list):
        raise ValueError(f"a {kind.rpartition('.')[2]} is a list of objects, not one; give each of its items")
    metadata = obj.get("metadata")
    if not (metadata and isinstance(metadata, dict)):
        raise ValueError("metadata is missing, or not a mapping")
    name = _name(metadata)
    namespace = _namespace(kind, metadata, default_namespace)
    group, _, word = kind.removeprefix(PREFIX).rpartition(".")
    attributes = _attributes(obj, metadata)
    if nests_deeper(attributes, DEEPEST):
        where = f"{namespace}/{name}" if namespace else name
        raise TooDeepError(f"{word} {where} nests too deeply, more than {DEEPEST} levels")
    labels = metadata.get("labels")
    scope: dict[str, Any] = {"cluster": cluster, "labels": labels if isinstance(labels, dict) else {}}
    if namespace is not None or kind == NAMESPACE:
        scope["namespace"] = name if kind == NAMESPACE else namespace
    return Observed(
        kind,
        "/".join(part for part in (cluster, group, word, namespace, name) if part is not None),
        _secret_metadata(obj, metadata) if kind == SECRET else attributes,
        scope=scope,
        sensitive=tuple(_looks(kind, attributes)),
        keep=_open_paths(kind, odd_image=_has_odd_image(kind, obj)),
    )


def runs_nothing(kind: str, obj: Mapping[str, Any]) -> bool:
    """Whether a live object is only a memory: a finished Pod, or a scaled-down ReplicaSet that a Deployment keeps."""
    status, spec = (part if isinstance(part := obj.get(key), dict) else {} for key in ("status", "spec"))
    if kind == "k8s.core.Pod":
        return status.get("phase") in {"Succeeded", "Failed"}
    if kind != "k8s.apps.ReplicaSet":
        return False
    owners = (obj.get("metadata") or {}).get("ownerReferences") or ()
    kept = any(owner.get("controller") is True and owner.get("kind") == "Deployment" for owner in owners)
    return kept and spec.get("replicas") == 0 and status.get("replicas", 0) == 0


@lru_cache(maxsize=1024)
def sensitive_paths(kind: str) -> Sequence[str]:
    """Return JSON pointers to what holds secrets in objects of `kind`, `*` for any one segment."""
    metadata = [f"/metadata/annotations/{_escape(name)}" for name in _COPIES]
    spec = _POD_SPECS.get(kind)
    if spec is None:
        return (*metadata, "/binaryData") if kind == CONFIG_MAP else tuple(metadata)
    template = spec.removesuffix("/spec")
    in_template = [f"{template}{path}" for path in metadata] if template else []
    headers = ("*Probe/httpGet", "lifecycle/*/httpGet")
    in_containers = [
        f"{spec}/{containers}/*/{place}/value"
        for containers in _CONTAINERS
        for place in ("env/*", *(f"{probe}/httpHeaders/*" for probe in headers))
    ]
    volumes = [f"{spec}/volumes/*/{options}" for options in ("csi/volumeAttributes/*", "flexVolume/options/*")]
    return (*metadata, *in_template, *in_containers, *volumes)


@lru_cache(maxsize=1024)
def _open_paths(kind: str, *, odd_image: bool) -> tuple[str, ...]:
    """Return JSON pointers to what stays whatever it looks like."""
    metadata = [f"/metadata/{part}" for part in _OPEN_METADATA]
    spec = _POD_SPECS.get(kind)
    if spec is None:
        return ("/apiVersion", *metadata, *_OPEN.get(kind, ()))
    template = spec.removesuffix("/spec")
    if template:
        metadata += [f"{template}/metadata/{part}" for part in _OPEN_METADATA]
        metadata.append("/spec/selector")
    names = [part for part in _OPEN_CONTAINER if not (odd_image and part == "image")]
    in_containers = [f"{spec}/{containers}/*/{part}" for containers in _CONTAINERS for part in names]
    return ("/apiVersion", *metadata, *in_containers, *(f"{spec}/{part}" for part in _OPEN_POD))


def _text(obj: Mapping[str, Any], key: str) -> str:
    value = obj.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is missing, or not text")
    return value


def _name(metadata: Mapping[str, Any]) -> str:
    """Return the name; of an object that the server is yet to name, what it will begin with and a `*`."""
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if isinstance(name, str) and name:
        return _part("metadata.name", name)
    if name in (None, "") and isinstance(prefix, str) and prefix:
        return _part("metadata.generateName", prefix) + "*"
    raise ValueError("metadata.name is missing, or not text")


def _namespace(kind: str, metadata: Mapping[str, Any], default: str) -> str | None:
    namespaced = is_namespaced(kind)
    namespace = metadata.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise ValueError("metadata.namespace is not text")
    if namespaced is False or (namespaced is None and not namespace):
        return None
    return _part("metadata.namespace", namespace or default)


def _part(what: str, text: str) -> str:
    """Return a name as part of an id. A slash would let one object pass for another; the API server has none either."""
    if "/" in text or len(text) > 253:
        raise ValueError(f"{what} is not a name: it holds a slash, or more than 253 characters")
    return text


def _attributes(obj: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object without its kind, and without managedFields, often half of it, before all is copied."""
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    return {key: kept if key == "metadata" else obj[key] for key in obj if key != "kind"}


def _secret_metadata(obj: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be known of a Secret. A copy of it in an annotation goes too, not even its fingerprint stays."""
    annotations = metadata.get("annotations")
    kept = dict(metadata)
    if isinstance(annotations, dict):
        kept["annotations"] = {name: text for name, text in annotations.items() if not _COPY.fullmatch(str(name))}
    known = {key: obj[key] for key in ("apiVersion", "type", "immutable") if key in obj}
    return {**known, "metadata": kept}


def _has_odd_image(kind: str, obj: Mapping[str, Any]) -> bool:
    """Whether an image is no image reference, and so might hold anything, such as a URL with a password."""
    here: Any = obj
    for step in _POD_SPECS.get(kind, "/none")[1:].split("/"):
        here = here.get(step) if isinstance(here, dict) else None
    if not isinstance(here, dict):
        return False
    lists = [here.get(containers) or [] for containers in _CONTAINERS]
    if not all(isinstance(containers, list) for containers in lists):
        return True
    return any(
        not (isinstance(item, dict) and isinstance(image := item.get("image", ""), str))
        or (image != "" and _IMAGE.fullmatch(image) is None)
        for containers in lists
        for item in containers
    )


def _looks(kind: str, obj: Mapping[str, Any]) -> Iterator[str]:
    """Yield pointers to what only its look tells to be secret: values of ConfigMaps, env of kinds unknown here."""
    if kind == CONFIG_MAP:
        data = obj.get("data")
        for name, value in data.items() if isinstance(data, dict) else ():
            if classify(str(name), value) == CREDENTIAL or (isinstance(value, str) and _FILE_LINE.search(value)):
                yield f"/data/{_escape(str(name))}"
    elif kind not in _POD_SPECS and is_namespaced(kind) is None:
        yield from _env_values(obj, "")


def _env_values(value: object, at: str) -> Iterator[str]:
    """Yield pointers to the values of every list called `env`, and to text under names that say password."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _env_values(item, f"{at}/{place}")
    elif isinstance(value, dict):
        for name, item in value.items():
            here = f"{at}/{_escape(str(name))}"
            if str(name).lower() == "env" and isinstance(item, list):
                yield f"{here}/*/value"
            elif isinstance(item, str) and re.search(r"(?:passw(?:or)?d|passphrase)$", str(name), re.IGNORECASE):
                yield here
            else:
                yield from _env_values(item, here)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
