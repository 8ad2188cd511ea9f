"""The Kubernetes objects that install the webhook: beside a webhook that runs elsewhere, or with all that runs it.

Invariant: no object holds a secret, and nothing here reads one: ConfigMaps and Secrets are named, and `preparations`
says how each is made. The same guardian.yaml serves here and in the Pod, see `webhook_layout`. Pure: no I/O.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from guardian.errors import UsageError
from guardian.settings import Secret
from guardian.usecases.webhook_layout import CONFIG, FOLDER, SECRETS, TLS, layout
from guardian.usecases.webhook_pod import LABELS, deployment
from guardian.usecases.webhook_registration import PATH, admission_kinds, registration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.settings import Settings, WebhookSettings

__all__ = ["FOLDER", "Install", "admission_kinds", "by_url", "in_cluster", "preparations", "service_hosts"]

NAME: Final = "guardian-webhook"
_OBJECTS_CLAIM: Final = "guardian-objects"
# A changed ConfigMap takes the place of the one there; and none is copied into an annotation, which holds 256 KiB.
_REPLACING: Final = " --dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -"
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Install:
    """How the webhook is to run in the cluster.

    image: its container image, best named by digest. ca_bundle: PEM certificates that the API server checks the
    webhook's own with; None only if cert_manager makes that certificate and writes the bundle. objects_size: of the
    volume that the replicas share for what records point to. policies: the users' own, by path below their folder.
    configuration: a digest of what the Pods read when they start; with another one they are replaced.
    """

    image: str
    namespace: str = "guardian"
    ca_bundle: bytes | None = None
    cert_manager: bool = False
    objects_size: str = "10Gi"
    policies: tuple[str, ...] = ()
    configuration: str = ""


def by_url(settings: Settings, url: str, *, kinds: Sequence[str], ca_bundle: bytes | None) -> list[dict[str, Any]]:
    """Return the one object that makes an API server ask the webhook at `url`, such as https://host:8443/v1/admit.

    kinds: see `admission_kinds`. ca_bundle: PEM certificates; None if the API server's own system trusts the webhook's.
    Raises UsageError if the URL is none that an API server would call, or guardian.yaml has no webhook.
    """
    client = {"url": _callable(url)}
    webhook = _webhook(settings)
    return _apart([registration(webhook, kinds=kinds, client=client, ca_bundle=ca_bundle, own_namespace=None)])


def in_cluster(settings: Settings, install: Install, *, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return everything that runs the webhook in the cluster, in the order in which it can be applied.

    Last comes the ValidatingWebhookConfiguration: apply it when the Deployment is available.
    Raises UsageError for what could not work there; the message says what to change.
    """
    webhook = _webhook(settings)
    _check(settings, webhook, install)
    plan = layout(settings, webhook, install.policies)
    workload = deployment(
        webhook,
        plan,
        image=install.image,
        account=NAME,
        objects_claim=_OBJECTS_CLAIM,
        configuration=install.configuration,
    )
    annotations = {"cert-manager.io/inject-ca-from": f"{install.namespace}/{NAME}"} if install.cert_manager else None
    service = {"namespace": install.namespace, "name": NAME, "path": PATH, "port": 443}
    registered = registration(
        webhook,
        kinds=kinds,
        client={"service": service},
        ca_bundle=None if install.cert_manager else install.ca_bundle,
        own_namespace=install.namespace,
        annotations=annotations,
    )
    objects = [
        _namespace(install),
        _object("v1", "ServiceAccount", install, automountServiceAccountToken=False),
        *_network_policies(settings, webhook, install),
        _claim(install),
        *(_certificates(install) if install.cert_manager else []),
        _object("policy/v1", "PodDisruptionBudget", install, spec=_disruption()),
        _object("v1", "Service", install, spec=_service()),
        _object("apps/v1", "Deployment", install, spec=workload),
        registered,
    ]
    return _apart(objects)


def preparations(settings: Settings, install: Install) -> list[str]:
    """Return the commands that make what the objects of `in_cluster` only name, once their Namespace is there.

    They name files and environment variables of this machine; no secret stands in them.
    """
    webhook = _webhook(settings)
    kubectl = f"kubectl --namespace {shlex.quote(install.namespace)} create"

    def sources(entries: Sequence[tuple[str, str]]) -> str:
        return " ".join(f"--from-file={key}={source}" for key, source in entries)

    root = settings.path.parent / "root.json"
    configuration = [("guardian.yaml", shlex.quote(str(settings.path))), ("root.json", shlex.quote(str(root)))]
    found = [f"{kubectl} configmap {CONFIG} {sources(configuration)}{_REPLACING}"]
    if not install.cert_manager:
        certificate, key = shlex.quote(str(webhook.certificate)), shlex.quote(str(webhook.key))
        found.append(f"{kubectl} secret tls {TLS} --cert={certificate} --key={key}")
    plan = layout(settings, webhook, install.policies)
    secrets = [(role, _source(secret)) for role, secret in plan.secrets.items()]
    found.append(f"{kubectl} secret generic {SECRETS} {sources(secrets)}")
    for name, (file_name, path) in plan.public.items():
        found.append(f"{kubectl} configmap {name} {sources([(file_name, shlex.quote(str(path)))])}{_REPLACING}")
    for name, (_, folder, names) in plan.folders.items():
        entries = [(key, shlex.quote(str(folder / path))) for key, path in names.items()]
        found.append(f"{kubectl} configmap {name} {sources(entries)}{_REPLACING}")
    return found


def service_hosts(namespace: str) -> list[str]:
    """Return the DNS names that the API server and others call the webhook's Service by."""
    return [f"{NAME}.{namespace}.svc", f"{NAME}.{namespace}.svc.cluster.local"]


def _apart(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `objects` with no part shared, which YAML would otherwise print as anchors and aliases."""
    found: list[dict[str, Any]] = orjson.loads(orjson.dumps(objects))
    return found


def _source(secret: Secret) -> str:
    """Return where kubectl finds a secret: its file, or a shell's view of the variable, never its value."""
    scheme, _, rest = secret.reference.partition(":")
    return shlex.quote(rest) if scheme == "file" else f'<(printf %s "${rest}")'


def _webhook(settings: Settings) -> WebhookSettings:
    if settings.webhook is None:
        raise UsageError(f"{settings.path} has no `webhook:`; add one, with certificate and key")
    return settings.webhook


def _callable(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}") from error
    if parts.scheme != "https" or not parts.hostname:
        raise UsageError(f"an API server calls webhooks by https://HOST:PORT{PATH} only, not {url!r}")
    if parts.username is not None or parts.query or parts.fragment or "?" in url or "#" in url:
        raise UsageError(f"the URL of a webhook has no user, query or fragment; use https://{parts.hostname}{PATH}")
    if parts.path not in {"", "/", PATH} or port == 0:
        raise UsageError(f"the webhook answers at {PATH}, not at {parts.path!r}; use https://{parts.netloc}{PATH}")
    return f"https://{parts.netloc}{PATH}"


def _check(settings: Settings, webhook: WebhookSettings, install: Install) -> None:
    if not _NAMESPACE.fullmatch(install.namespace):
        raise UsageError(f"{install.namespace!r} is no name for a namespace: small letters, digits and - only")
    if not install.image.strip() or re.search(r"\s", install.image):
        raise UsageError(
            f"{install.image!r} is no container image; name one, best by its digest: registry/name@sha256:…"
        )
    if not install.cert_manager and not install.ca_bundle:
        raise UsageError(
            "the API server must know by which CA to check the webhook: name its file, or use cert-manager"
        )
    if not isinstance(settings.storage.database, Secret):
        raise UsageError(
            f"storage.database is a SQLite file, {settings.storage.database}: a log that two replicas cannot share. "
            "Name a PostgreSQL database (env:NAME or file:PATH holding postgresql://...), or run the webhook on this "
            "machine and install it by its URL"
        )
    if webhook.host in {"localhost", "::1"} or webhook.host.startswith("127."):
        raise UsageError(f"webhook.listen is {webhook.host}, which nobody outside the Pod reaches; use 0.0.0.0")


def _object(version: str, kind: str, install: Install, *, name: str = NAME, **content: object) -> dict[str, Any]:
    metadata = {"name": name, "namespace": install.namespace, "labels": dict(LABELS)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _namespace(install: Install) -> dict[str, Any]:
    modes = ("enforce", "audit", "warn")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
    metadata = {"name": install.namespace, "labels": {"app.kubernetes.io/name": "guardian", **labels}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _network_policies(settings: Settings, webhook: WebhookSettings, install: Install) -> list[dict[str, Any]]:
    """Nothing in or out of the namespace, but requests to the webhook, name resolution, the database and the engine.

    API servers call from addresses of their hosts, which no selector names: so the port is open, and TLS guards it.
    """
    both = ["Ingress", "Egress"]
    ports = {5432, *([urlsplit(settings.engine.url).port or 443] if settings.engine.url else [])}
    cluster_dns = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    outward = [{"protocol": "TCP", "port": port} for port in sorted(ports)]
    spec = {
        "podSelector": {"matchLabels": dict(LABELS)},
        "policyTypes": both,
        "ingress": [{"ports": [{"protocol": "TCP", "port": webhook.port}]}],
        "egress": [{"to": [cluster_dns], "ports": dns}, {"ports": outward}],
    }
    nothing = {"podSelector": {}, "policyTypes": both}
    version, kind = "networking.k8s.io/v1", "NetworkPolicy"
    return [
        _object(version, kind, install, name="default-deny", spec=nothing),
        _object(version, kind, install, spec=spec),
    ]


def _claim(install: Install) -> dict[str, Any]:
    """Return the claim of a volume that all replicas write: what records point to must be there for each."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": install.objects_size}}}
    return _object("v1", "PersistentVolumeClaim", install, name=_OBJECTS_CLAIM, spec=spec)


def _certificates(install: Install) -> list[dict[str, Any]]:
    """Return cert-manager's objects: a CA of this namespace alone, and the certificate it signs and renews."""
    version = "cert-manager.io/v1"
    authority = f"{NAME}-ca"
    key = {"algorithm": "ECDSA", "size": 256}
    reference = {"kind": "Issuer", "group": "cert-manager.io"}
    root = {
        "isCA": True,
        "commonName": authority,
        "secretName": authority,
        "duration": "87600h",
        "privateKey": key,
        "issuerRef": {"name": f"{NAME}-selfsigned", **reference},
    }
    serving = {
        "secretName": TLS,
        "dnsNames": service_hosts(install.namespace),
        "duration": "2160h",
        "renewBefore": "720h",
        "usages": ["digital signature", "server auth"],
        "privateKey": {**key, "rotationPolicy": "Always"},
        "issuerRef": {"name": authority, **reference},
    }
    return [
        _object(version, "Issuer", install, name=f"{NAME}-selfsigned", spec={"selfSigned": {}}),
        _object(version, "Certificate", install, name=authority, spec=root),
        _object(version, "Issuer", install, name=authority, spec={"ca": {"secretName": authority}}),
        _object(version, "Certificate", install, spec=serving),
    ]


def _disruption() -> dict[str, Any]:
    # AlwaysAllow: a replica that is not ready serves nobody, and must not keep a node from being drained
    selector = {"matchLabels": dict(LABELS)}
    return {"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"}


def _service() -> dict[str, Any]:
    port = {"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"}
    return {"type": "ClusterIP", "selector": dict(LABELS), "ports": [port]}
