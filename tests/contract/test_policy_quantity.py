"""Quantities of Kubernetes are computed exactly: in WebAssembly and in OPA as in arithmetic of fractions."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kubernetes.utils import quantity as kubernetes_quantity

from guardian.policy.build import POLICIES, build_wasm
from guardian.policy.params import QUANTITY_CEILING, parse_quantity
from guardian.policy.wasm import PolicyModule
from tests.tools.opa_server import OpaServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal
    from pathlib import Path

ASKED = """package quantity_asked

import data.guardian.lib.quantity

value := quantity.value(input.quantity)

text := quantity.text(value, input.resource)
"""
SUFFIXES = {
    **{suffix: Fraction(10) ** power for suffix, power in {"n": -9, "u": -6, "m": -3, "": 0}.items()},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
REFERENCE: Callable[[str], Decimal] = kubernetes_quantity.parse_quantity
ENTRIES = ["quantity_asked/value", "quantity_asked/text"]
DIGITS = st.text("0123456789", max_size=8)
NUMBERS = st.builds(lambda whole, point, rest: whole + point + rest, DIGITS, st.sampled_from(["", "."]), DIGITS)
EXPONENTS = st.builds(
    lambda letter, sign, power: f"{letter}{sign}{power}", st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), DIGITS
)
QUANTITIES = st.builds(
    lambda sign, number, suffix: sign + number + suffix,
    st.sampled_from(["", "", "", "+", "-"]),
    NUMBERS,
    st.sampled_from(sorted(SUFFIXES))
    | st.sampled_from(sorted(SUFFIXES))
    | EXPONENTS
    | st.text("mKkiGe+-. ", max_size=2),
)


def exact(text: str) -> list[int] | None:
    """Return [whole, billionths] of a quantity by its definition, None for what is none."""
    match = re.fullmatch(r"\+?([0-9]*)(?:\.([0-9]*))?([a-zA-Z]{0,2}|[eE][+-]?[0-9]+)", text.strip(" "))
    if not match or not match[1] + (match[2] or ""):
        return None
    exponent = re.fullmatch(r"[eE]([+-]?[0-9]+)", match[3])
    if exponent and len(exponent[1].lstrip("+-").lstrip("0")) > 3:
        return None
    factor = Fraction(10) ** int(exponent[1]) if exponent else SUFFIXES.get(match[3])
    if factor is None:
        return None
    number = Fraction(int(match[1] + (match[2] or "")), 10 ** len(match[2] or ""))
    whole, billionths = divmod(ceil(number * factor * 10**9), 10**9)
    return [whole, billionths] if whole < QUANTITY_CEILING else [QUANTITY_CEILING, 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library and the Rego that asks it."""
    folder = tmp_path_factory.mktemp("quantity")
    (folder / "quantity.rego").write_bytes((POLICIES / "lib" / "quantity.rego").read_bytes())
    (folder / "asked.rego").write_text(ASKED)
    return folder


@pytest.fixture(scope="module")
def module(opa: Path, folder: Path) -> Iterator[PolicyModule]:
    """The library compiled."""
    module = PolicyModule(build_wasm(opa, folder, ENTRIES))
    yield module
    module.close()


@pytest.fixture(scope="module")
def server(opa: Path, folder: Path) -> Iterator[OpaServer]:
    """The library in OPA."""
    with OpaServer(opa, folder) as server:
        yield server


def asked(module: PolicyModule, entry: str, **document: Any) -> Any:
    return module.evaluate(f"quantity_asked/{entry}", json.dumps(document).encode())


def test_value_of_every_quantity_is_exact_or_there_is_none(module: PolicyModule, server: OpaServer) -> None:
    seen = {"exact": 0, "none": 0, "given up": 0}

    @settings(
        max_examples=3000, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(QUANTITIES)
    @example("9007199254740993")
    @example("999999999999999999")
    @example("8388607Ti")
    @example("1.123456789Ti")
    @example("0.999999999Ki")
    @example("999999999999999.9999999991")
    @example("1e18")
    @example("1e-9")
    def ask(text: str) -> None:
        found = asked(module, "value", quantity=text)
        wanted = exact(text)
        assert found == server.value("quantity_asked/value", {"quantity": text})
        given_up = found is None and re.fullmatch(r"\+?[0-9]*\.[0-9]*[KMGTPE]i", text.strip()) is not None
        assert found == wanted or given_up
        seen["none" if wanted is None else "given up" if given_up else "exact"] += 1

    ask()
    assert seen["exact"] > 1000
    assert seen["none"] > 200
    assert seen["given up"] < 300  # only fractions of binary units with many digits


@pytest.mark.parametrize("text", ["100m", "0.25", "2", "1.5", "512Mi", "1Gi", "1.5Gi", "64k", "3G", "1Ti", "250u"])
def test_value_is_that_of_the_kubernetes_client_and_of_params_yaml(module: PolicyModule, text: str) -> None:
    whole, billionths = asked(module, "value", quantity=text)
    assert Fraction(whole) + Fraction(billionths, 10**9) == Fraction(str(REFERENCE(text)))
    if not text.endswith("u"):
        assert parse_quantity(text) == [whole, billionths]


@pytest.mark.parametrize("number", [0, 1, 2, 4096, 0.5, 0.25, 1.75, 2**31])
def test_number_has_the_value_of_its_text(module: PolicyModule, server: OpaServer, number: float) -> None:
    found = asked(module, "value", quantity=number)
    assert found == exact(str(number)) == server.value("quantity_asked/value", {"quantity": number})


@pytest.mark.parametrize("junk", [None, True, -1, -0.5, [], ["1"], {}, {"1": 1}, "", "1 Gi", "1gi", "-1", "1e", "0x1"])
def test_junk_has_no_value_in_either_engine(module: PolicyModule, server: OpaServer, junk: Any) -> None:
    assert asked(module, "value", quantity=junk) is None
    assert server.value("quantity_asked/value", {"quantity": junk}) is None


@settings(max_examples=500, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**18 - 1), st.sampled_from([0, 1, 500_000_000, 1_000_000, 123_456_789]), st.booleans())
def test_text_says_exactly_the_value(
    module: PolicyModule, server: OpaServer, whole: int, billionths: int, memory: bool
) -> None:
    written = f"{whole}.{billionths:09}"
    resource = "memory" if memory else "cpu"
    text = asked(module, "text", quantity=written, resource=resource)
    assert text == server.value("quantity_asked/text", {"quantity": written, "resource": resource})
    assert exact(text) == [whole, billionths]
