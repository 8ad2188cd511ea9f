"""The rights that the Kubernetes collector needs, as a manifest: `list` on what it reads, and nothing else. Pure.

Invariant: no rule names a kind that is not collected, a verb other than list, or Secrets.
`deploy/kubernetes-collector.yaml` is what `manifest()` returns; a test compares them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from guardian.errors import UsageError
from guardian.kubernetes_kinds import PLURALS, split

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME: Final = "guardian-collector"

_HEADER: Final = """\
# What Guardian's Kubernetes collector may do: list the kinds that the bundled controls read. No verb but list, nothing
# written, no Secrets. Made by guardian/usecases/collector_role.py. `kinds` in guardian.yaml takes the place of these
# kinds and adds none to them: it names all that is read, and each kind that it names needs its rule here.
# The namespace must exist. For a collector outside the cluster, a token of the account:
#   kubectl --namespace {namespace} create token {name} --duration 24h
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {name}
  namespace: {namespace}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {name}
rules:
"""
_RULE: Final = """\
- apiGroups: ["{group}"]
  resources: [{resources}]
  verbs: [list]
"""
_BINDING: Final = """\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {name}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {name}
subjects:
- kind: ServiceAccount
  name: {name}
  namespace: {namespace}
"""


def manifest(kinds: Iterable[str] = tuple(PLURALS), *, namespace: str = "guardian") -> str:
    """Return the service account, cluster role and binding, as YAML.

    kinds: of those that Guardian knows the API path of. namespace: where the account lives.
    Raises UsageError for another kind.
    """
    resources: dict[str, list[str]] = defaultdict(list)
    for kind in kinds:
        if kind not in PLURALS:
            raise UsageError(f"{kind} is none of the kinds whose rule can be made here; write it by hand")
        resources[split(kind)[0]].append(PLURALS[kind])
    rules = [
        _RULE.format(group=group, resources=", ".join(sorted(names))) for group, names in sorted(resources.items())
    ]
    names = {"name": NAME, "namespace": namespace}
    return "".join((_HEADER.format(**names), *rules, _BINDING.format(**names)))
