"""Where the files that guardian.yaml names lie inside the webhook's Pod, and which ConfigMap or Secret each is of.

Invariant: a path means the same file here and there. What lies below the folder of guardian.yaml lies below FOLDER in
the Pod; other paths stay as they are. Everything is mounted read-only, but spool, objects and /tmp. Pure: no I/O.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import UsageError
from guardian.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guardian.settings import Settings, WebhookSettings

FOLDER: Final = "/etc/guardian"
CONFIG: Final = "guardian-config"
SECRETS: Final = "guardian-secrets"
TLS: Final = "guardian-webhook-tls"
_POLICIES: Final = "guardian-policies"


@dataclass(frozen=True, slots=True)
class Layout:
    """What the Pod needs of this machine.

    files: path in the Pod -> (`secret` or `configMap`, its name, key). secrets: key in SECRETS -> where its value is.
    public: ConfigMap -> (key, file here). folders: ConfigMap -> (path in the Pod, folder here, key -> path below both).
    variables: environment variable -> key in SECRETS. spool, objects: paths in the Pod.
    """

    files: Mapping[PurePosixPath, tuple[str, str, str]]
    secrets: Mapping[str, Secret]
    public: Mapping[str, tuple[str, Path]]
    folders: Mapping[str, tuple[PurePosixPath, Path, Mapping[str, str]]]
    variables: Mapping[str, str]
    spool: PurePosixPath
    objects: PurePosixPath

    def environment(self) -> list[dict[str, Any]]:
        """Return the container's variables; their values are named, not told."""
        return [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRETS, "key": key}}}
            for name, key in self.variables.items()
        ]

    def volumes(self, *, objects_claim: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the Pod's volumes and the container's mounts, outer folders before inner ones.

        Raises UsageError if one folder would have to be two volumes.
        """
        claim = {"persistentVolumeClaim": {"claimName": objects_claim}}
        found: list[tuple[str, PurePosixPath, dict[str, Any], bool]] = [
            ("tmp", PurePosixPath("/tmp"), {"emptyDir": {"sizeLimit": "256Mi"}}, False),  # noqa: S108 -- the Pod's own
            ("spool", self.spool, {"emptyDir": {"sizeLimit": "1Gi"}}, False),
            ("objects", self.objects, claim, False),
        ]
        found += [
            (f"files-{place}", folder, {"projected": projected}, True)
            for place, (folder, projected) in enumerate(self._projected())
        ]
        for name, (folder, _, names) in self.folders.items():
            items = [{"key": key, "path": path} for key, path in names.items()]
            found.append((name, folder, {"configMap": {"name": name, "items": items}}, True))
        found.sort(key=lambda entry: entry[1])
        places = [folder for _, folder, _, _ in found]
        twice = sorted({str(folder) for folder in places if places.count(folder) > 1})
        if twice:
            raise UsageError(
                f"guardian.yaml keeps in {', '.join(twice)} (in the Pod) files of different kinds: give keys and "
                "certificates, policies, spool and objects a folder each"
            )
        volumes = [{"name": name, **source} for name, _, source, _ in found]
        mounts = [
            {"name": name, "mountPath": str(folder), **({"readOnly": True} if read_only else {})}
            for name, folder, _, read_only in found
        ]
        return volumes, mounts

    def _projected(self) -> list[tuple[PurePosixPath, dict[str, Any]]]:
        """Return one volume a folder, whichever ConfigMaps and Secrets its files are of."""
        folders: dict[PurePosixPath, dict[tuple[str, str], list[dict[str, str]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for path, (kind, name, key) in self.files.items():
            folders[path.parent][kind, name].append({"key": key, "path": path.name})
        return [
            (
                folder,
                {
                    "defaultMode": 0o440,
                    "sources": [{kind: {"name": name, "items": items}} for (kind, name), items in sources.items()],
                },
            )
            for folder, sources in sorted(folders.items())
        ]


def layout(settings: Settings, webhook: WebhookSettings, policies: Sequence[str]) -> Layout:
    """Return what the Pod needs so that guardian.yaml finds there what it names here.

    policies: the files of the users' policies, by path below their folder.
    Raises UsageError for two that one ConfigMap cannot hold beside each other.
    """
    home = settings.path.parent

    def there(path: Path) -> PurePosixPath:
        return PurePosixPath(FOLDER, path.relative_to(home)) if path.is_relative_to(home) else PurePosixPath(path)

    files: dict[PurePosixPath, tuple[str, str, str]] = {
        PurePosixPath(FOLDER, "guardian.yaml"): ("configMap", CONFIG, "guardian.yaml"),
        PurePosixPath(FOLDER, "root.json"): ("configMap", CONFIG, "root.json"),
        there(webhook.certificate): ("secret", TLS, "tls.crt"),
        there(webhook.key): ("secret", TLS, "tls.key"),
    }
    public: dict[str, tuple[str, Path]] = {}
    for name, path in (("guardian-client-ca", webhook.client_ca), ("guardian-engine-ca", settings.engine.ca)):
        if path is not None:
            files[there(path)] = ("configMap", name, "ca.crt")
            public[name] = ("ca.crt", path)
    secrets = _secrets(settings)
    variables: dict[str, str] = {}
    for role, secret in secrets.items():
        scheme, _, rest = secret.reference.partition(":")
        if scheme == "env":
            variables[rest] = role
        else:
            files[there(secret.path)] = ("secret", SECRETS, role)
    folders = {_POLICIES: (there(settings.policies), settings.policies, _keys(policies))} if settings.policies else {}
    return Layout(
        files, secrets, public, folders, variables, spool=there(webhook.spool), objects=there(settings.storage.objects)
    )


def _keys(paths: Sequence[str]) -> dict[str, str]:
    """Return each path by its key in a ConfigMap, whose keys hold no `/`."""
    found: dict[str, str] = {}
    for path in paths:
        key = path.replace("/", "__")
        if key in found:
            raise UsageError(f"policies.folder: {found[key]} and {path} would both be {key} in a ConfigMap; rename one")
        found[key] = path
    return found


def _secrets(settings: Settings) -> dict[str, Secret]:
    """Return what the webhook, and the signer beside it, read; by the key each has in SECRETS."""
    found = {"redaction": settings.keys.redaction, "record": settings.keys.record, "log": settings.keys.log}
    if isinstance(settings.storage.database, Secret):
        found["database"] = settings.storage.database
    if settings.engine.token is not None:
        found["engine-token"] = settings.engine.token
    return found
