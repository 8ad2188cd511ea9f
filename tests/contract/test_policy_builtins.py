"""Host builtins compute what OPA computes: each is asked thousands of times, through the module, beside OPA."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardian.policy.build import build_wasm
from guardian.policy.builtins import PROVIDED, BuiltinError, sprintf
from guardian.policy.wasm import PolicyModule
from tests.tools.opa_server import OpaServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGO = """package builtins_asked

import future.keywords.not

plain := sprintf(input.format, input.values)

in_a_set := sprintf(input.format, [{value | some value in input.values}, {"of": {value | some value in input.values}}])
"""
TEXTS = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"]), max_size=8)
NUMBERS = (
    st.integers(-(10**25), 10**25)
    | st.integers(-1000, 1000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-1000, 1000, places=3).map(float)
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
FORMATS = st.lists(st.sampled_from(["%s", "%d", "%v", "%%", "a", " é ", "\n"]), max_size=6).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Rego that asks."""
    folder = tmp_path_factory.mktemp("builtins")
    (folder / "asked.rego").write_text(REGO)
    return folder


@pytest.fixture(scope="module")
def module(opa: Path, folder: Path) -> Iterator[PolicyModule]:
    """The Rego compiled."""
    module = PolicyModule(build_wasm(opa, folder, ["builtins_asked/plain", "builtins_asked/in_a_set"]))
    yield module
    module.close()


@pytest.fixture(scope="module")
def server(opa: Path, folder: Path) -> Iterator[OpaServer]:
    """The Rego in OPA."""
    with OpaServer(opa, folder) as server:
        yield server


def test_every_provided_builtin_is_asked_here() -> None:
    assert set(PROVIDED) == {"sprintf"}


def test_sprintf_is_opas_sprintf_on_thousands_of_inputs(module: PolicyModule, server: OpaServer) -> None:
    asked = []

    @settings(max_examples=2500, deadline=None, database=None, derandomize=True)
    @given(FORMATS, st.lists(VALUES, max_size=4))
    @example("%v %v %v %v", [999999.5, 1000000.5, 0.00015, 0.000015])
    @example("%d %s %v", [1.5, 7, -0.0])
    @example("%d %d %d", [2**63 - 1, 2**63, -(2**63)])
    @example("%s", ["\u0000\u007f\u00ad\u2028\U0001f600"])
    @example("%v", [['\u0000\u007f\u00ad\u2028\U0001f600\\"', {"k": []}, {}]])
    @example("%d", [])
    @example("", [1, "x", None])
    def ask(format_text: str, values: list[Any]) -> None:
        document = {"format": format_text, "values": values}
        content = json.dumps(document).encode()
        assert module.evaluate("builtins_asked/plain", content) == server.value("builtins_asked/plain", document)
        asked.append(format_text)

    ask()
    assert len(asked) > 2000


def test_sprintf_shows_sets_as_opa_does(module: PolicyModule, server: OpaServer) -> None:
    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.integers(-99, 99) | st.text('abc, :{}[]"', max_size=4) | st.booleans(), max_size=4))
    def ask(values: list[Any]) -> None:
        document = {"format": "%v %v", "values": values}
        content = json.dumps(document).encode()
        assert module.evaluate("builtins_asked/in_a_set", content) == server.value("builtins_asked/in_a_set", document)

    ask()


@pytest.mark.parametrize(("values", "format_text"), [("not a list", "%v"), ([1], 7), ({"a": 1}, "%v")])
def test_sprintf_of_wrong_operands_is_undefined_as_in_opa(
    module: PolicyModule, server: OpaServer, values: Any, format_text: Any
) -> None:
    document = {"format": format_text, "values": values}
    assert module.evaluate("builtins_asked/plain", json.dumps(document).encode()) is None
    assert server.value("builtins_asked/plain", document) is None


@pytest.mark.parametrize("format_text", ["%5d", "%x", "%.2f", "%", "%+v", "%#v"])
def test_sprintf_refuses_what_it_does_not_know_rather_than_guess(format_text: str) -> None:
    with pytest.raises(BuiltinError):
        sprintf(json.dumps(format_text), "[1]")
