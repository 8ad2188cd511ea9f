"""The text of a manifest -> the Kubernetes objects in it, with their places, split and listed as kubectl does. No I/O.

Invariant: every document comes out as objects or as a Problem that says what to do; only empty documents are nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from guardian.reports.judged import Problem
from guardian.usecases import check_json, check_nodes, check_yaml
from guardian.usecases.check_nodes import Entry, MalformedError, Node, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.usecases.check_files import Source

_SEPARATOR = re.compile(r"^---([^\n]*)(?:\n|\Z)", re.MULTILINE)
# Names that only a chart's own templates use; other templates ({{ $labels.pod }}) are text that Kubernetes stores.
_HELM = re.compile(r"\{\{[^}\n]{0,200}?[\s(.$-]\.?(?:Values|Release|Chart|Capabilities)\.[A-Za-z]")
_JSON = re.compile(r"\s*\{\s*[\"}]")
_RENDER: Final = "render it first: helm template NAME CHART | guardian check -"
_BUILD: Final = "build it first: kustomize build FOLDER | guardian check -"
_BY_NAME: Final = {
    "chart.yaml": f"this belongs to a Helm chart, not to a cluster; {_RENDER}",
    "values.yaml": f"this looks like the values of a Helm chart; {_RENDER}",
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object as kubectl would send it, and where it stands."""

    file: str
    node: Node
    value: dict[str, Any]


def manifests(source: Source) -> Iterator[Manifest | Problem]:
    """Yield every object of a file, in its order."""
    found = _HELM.search(source.text)
    if found:
        line = source.text.count("\n", 0, found.start()) + 1
        yield Problem(source.name, line, f"this is a Helm template; {_RENDER}")
        return
    for text, line in _documents(source.text):
        try:
            nodes = _parse(text, line)
        except UnreadableError as error:
            templated = f" (or, if this is a template, {_RENDER})" if "{{" in text else ""
            yield Problem(source.name, error.line, f"{error}{templated}")
            continue
        for node in nodes:
            yield from _objects(source.name, node)


def _documents(text: str) -> Iterator[tuple[str, int]]:
    """Yield the parts of a stream with the line each begins at. Source: YAMLReader of k8s.io/apimachinery."""
    start, line = 0, 1
    for found in _SEPARATOR.finditer(text):
        yield text[start : found.start()], line
        line += text.count("\n", start, found.end())
        start = found.end()
        rest = found[1].strip()
        if rest and not rest.startswith("#"):
            start, line = found.start(), line - found[0].count("\n")  # libyaml reads it, or says what is wrong
    yield text[start:], line


def _parse(text: str, line: int) -> list[Node]:
    """Return the documents of one part: a stream of JSON where it can be one, as kubectl decides it, else YAML."""
    if not text.lstrip(" \t\r\n").startswith("{"):
        return check_yaml.parse(text, line)
    try:
        return check_json.parse(text, line)
    except MalformedError as broken:
        try:
            return check_yaml.parse(text, line)
        except UnreadableError as error:
            raise (broken if _JSON.match(text) else error) from error


def _objects(file: str, node: Node) -> Iterator[Manifest | Problem]:
    """Yield the object in a document, or those of a list, which may hold lists."""
    if not isinstance(node.content, dict):
        yield Problem(file, node.line, "not a Kubernetes object: a mapping with apiVersion and kind was expected")
        return
    kind, version = _text(node, "kind"), _text(node, "apiVersion")
    items = node.member("items")
    problem = _foreign(file, node, version)
    if problem is None and items is not None and isinstance(items.content, list):
        if kind.endswith("List"):
            for item in items.content:
                yield from _objects(file, _with_kind(item, kind.removesuffix("List"), version))
            return
        problem = "a list called items makes kubectl take this for a list of objects; its kind must end in List"
    yield Manifest(file, node, node.plain()) if problem is None else Problem(file, node.line, problem)


def _foreign(file: str, node: Node, version: str) -> str | None:
    """Return what to do with a document that is for another program than the API server; None if it is not."""
    name = PurePath(file).name.lower()
    if name.removesuffix(".yaml").removesuffix(".yml") == "kustomization" or version.startswith(
        "kustomize.config.k8s.io/"
    ):
        return f"this is for kustomize, not for a cluster; {_BUILD}"
    if not _text(node, "kind"):
        if name in _BY_NAME:
            return _BY_NAME[name]
        if node.member("terraform_version") or (node.member("format_version") and node.member("resource_changes")):
            return "this is a Terraform plan; plans are not judged yet, only Kubernetes objects are"
    return None


def _with_kind(item: Node, kind: str, version: str) -> Node:
    """Return an item of a typed list, such as a PodList, with the kind and version that it leaves to the list."""
    entries = item.content
    if not isinstance(entries, dict) or not kind or _text(item, "kind") or _text(item, "apiVersion"):
        return item
    stated = {"apiVersion": version, "kind": kind}
    own = {
        key: Entry(item.line, item.column, check_nodes.scalar(value, item.line, item.column))
        for key, value in stated.items()
    }
    return check_nodes.mapping({**entries, **own}, item.line, item.column)


def _text(node: Node, key: str) -> str:
    member = node.member(key)
    return member.content if member and isinstance(member.content, str) else ""
