"""What must agree about collectors, engine, webhook and API: keys that go with their type, and references. No I/O.

These checks read the raw tree, as `config_checks` do, and skip what has the wrong shape.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from guardian.config_checks import Item, items_of, names_of, unknown_name
from guardian.config_scalars import is_loopback, shown
from guardian.config_yaml import Problem, Tree, show_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Which keys go with which type; True: required.
COLLECTOR_KEYS: Final = {
    "postgres": {"dsn": True},
    "kubernetes": {"kubeconfig": False, "context": False, "kinds": False},
    "aws": {
        "regions": True,
        "profile": False,
        "roleArn": False,
        "externalId": False,
        "endpoint": False,
        "backupBuckets": False,
    },
}
ENGINE_KEYS: Final[Mapping[str, Mapping[str, bool]]] = {
    "wasm": {},
    "opa": {"url": False, "token": False, "ca": False, "command": False},
}


def check(tree: Tree) -> list[Problem]:
    """Return every disagreement about collectors, engine, webhook and API, in no particular order."""
    root = Item((), tree.value if isinstance(tree.value, dict) else {})
    collectors = list(items_of(root, "collectors"))
    problems: list[Problem] = []
    for collector in collectors:
        problems += _keys_of_type(tree, "a collector", collector, COLLECTOR_KEYS)
        problems += _kubernetes(tree, collector)
    problems += _assets(tree, root, collectors)
    problems += _engine(tree, root)
    problems += _webhook(tree, root, collectors)
    problems += _api(tree, root)
    return problems


def _problem(tree: Tree, item: Item, key: str | int, message: str) -> Problem:
    at = (*item.at, key)
    return Problem(tree.line(at), at, message)


def _keys_of_type(
    tree: Tree, what: str, item: Item, known: Mapping[str, Mapping[str, bool]], kind: str | None = None
) -> Iterator[Problem]:
    kind = kind or item.text("type")
    if kind is None or kind not in known:
        return
    for key in item.data:
        owner = next((other for other, keys in known.items() if key in keys), kind)
        if key not in known[kind] and owner != kind:
            message = f"belongs to {what} of type {owner}, and this one is {kind}; remove it, or change type"
            yield _problem(tree, item, key, message)
    for key, required in known[kind].items():
        if required and item.data.get(key) is None:
            yield _problem(tree, item, key, "required, but missing; add it")


def _kubernetes(tree: Tree, item: Item) -> Iterator[Problem]:
    if item.text("type") != "kubernetes":
        return
    if "context" in item.data and item.data.get("kubeconfig") is None:
        yield _problem(tree, item, "context", "a context is one of a kubeconfig; add kubeconfig, or remove it")
    kinds = item.data.get("kinds")
    seen: Counter[object] = Counter()
    for place, kind in enumerate(kinds if isinstance(kinds, list) else ()):
        if isinstance(kind, str):
            seen[kind] += 1
            if seen[kind] == 2:
                at = (*item.at, "kinds", place)
                yield Problem(tree.line(at), at, f"{shown(kind)} stands twice; keep one")


def _assets(tree: Tree, root: Item, collectors: Sequence[Item]) -> Iterator[Problem]:
    for service in items_of(root, "services"):
        for asset in items_of(service, "assets"):
            source = asset.data.get("source")
            if isinstance(source, dict):
                yield from _of_type(tree, Item((*asset.at, "source"), source), "postgres", "postgres", collectors)


def _of_type(tree: Tree, item: Item, key: str, wanted: str, collectors: Sequence[Item]) -> Iterator[Problem]:
    """Complain if the collector named under `key` exists but is of another type than `wanted`."""
    name = item.text(key)
    found = next((collector.text("type") for collector in collectors if collector.text("name") == name), None)
    if name is not None and found in COLLECTOR_KEYS and found != wanted:
        known = [text for one in collectors if one.text("type") == wanted and (text := one.text("name"))]
        way_out = (
            f"name one of type {wanted}: {', '.join(known)}" if known else f"add one of type {wanted} to collectors"
        )
        yield _problem(tree, item, key, f"the collector {shown(name)} is of type {found}; {way_out}")


def _engine(tree: Tree, root: Item) -> Iterator[Problem]:
    data = root.data.get("engine")
    if not isinstance(data, dict):
        return
    engine = Item(("engine",), data)
    yield from _keys_of_type(tree, "an engine", engine, ENGINE_KEYS, engine.text("type") or "wasm")
    if engine.text("type") != "opa":
        return
    if "url" in data and "command" in data:
        message = "url and command exclude each other: OPA runs elsewhere, or as a child of Guardian; remove one"
        yield _problem(tree, engine, "command", message)
    for key in ("token", "ca"):
        if key in data and "url" not in data:
            yield _problem(tree, engine, key, "is for an OPA server at url; add url, or remove it")
    if "ca" in data and str(data.get("url")).startswith("http:"):
        yield _problem(tree, engine, "ca", "http has no certificate to check; use https, or remove it")


def _webhook(tree: Tree, root: Item, collectors: Sequence[Item]) -> Iterator[Problem]:
    data = root.data.get("webhook")
    if not isinstance(data, dict):
        return
    webhook = Item(("webhook",), data)
    clusters = names_of([item for item in collectors if item.text("type") == "kubernetes"])
    if "collector" in data:
        at = ("webhook", "collector")
        yield from unknown_name(tree, at, "collector", webhook.text("collector"), names_of(list(collectors)))
        yield from _of_type(tree, webhook, "collector", "kubernetes", collectors)
    elif not clusters:
        message = "needs a collector of type kubernetes, whose name the ids carry; add one to collectors"
        yield Problem(tree.line(webhook.at), webhook.at, message)
    elif len(clusters) > 1:
        message = f"there are several clusters; add collector: one of {', '.join(clusters)}"
        yield Problem(tree.line(webhook.at), webhook.at, message)
    yield from _namespaces(tree, webhook)


def _api(tree: Tree, root: Item) -> Iterator[Problem]:
    data = root.data.get("api")
    if not isinstance(data, dict):
        return
    api = Item(("api",), data)
    for key, other in (("certificate", "key"), ("key", "certificate")):
        if key in data and other not in data:
            yield _problem(tree, api, other, f"required beside {key}, but missing; add it")
    listen = api.text("listen")
    host = listen.rpartition(":")[0].strip("[]") if listen else "127.0.0.1"
    if host and not is_loopback(host) and "certificate" not in data and data.get("behindProxy") is not True:
        message = (
            "evidence must not cross a network in the clear; add certificate and key, or behindProxy: true where a "
            "proxy ends TLS, or listen on 127.0.0.1"
        )
        yield _problem(tree, api, "listen", message)


def _namespaces(tree: Tree, webhook: Item) -> Iterator[Problem]:
    closed, exempt = webhook.data.get("failClosed"), webhook.data.get("exempt", ["kube-system", "guardian"])
    for place, name in enumerate(closed if isinstance(closed, list) else ()):
        if isinstance(name, str) and isinstance(exempt, list) and name in exempt:
            at = ("webhook", "failClosed", place)
            way_out = f"remove it here, or from {show_path(('webhook', 'exempt'))}"
            yield Problem(tree.line(at), at, f"{shown(name)} is exempt, so nothing is judged there; {way_out}")
