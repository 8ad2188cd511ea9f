"""Objects as YAML that every reader takes alike: what an older one would take for a number or a truth is quoted."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ruamel.yaml.nodes import ScalarNode

# YAML 1.1, which kubectl reads, knows more truths and numbers than 1.2, which is written here.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9 ./_@-]*[A-Za-z0-9]")
_TRUTHS = frozenset({"y", "yes", "n", "no", "true", "false", "on", "off", "null"})


class _Representer(SafeRepresenter):
    pass


def _text(representer: SafeRepresenter, text: str) -> ScalarNode:
    style = None if _PLAIN.fullmatch(text) and text.lower() not in _TRUTHS else '"'
    node: ScalarNode = representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


_Representer.add_representer(str, _text)


def documents(objects: Sequence[Mapping[str, Any]]) -> str:
    """Return one YAML document an object, each begun by `---`; keys in the order given."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.explicit_start = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None by its default
    yaml.width = 1_000_000
    yaml.allow_unicode = False  # what is no ASCII is escaped: readers differ in what they take for printable
    out = io.StringIO()
    yaml.dump_all(objects, out)
    return out.getvalue()
