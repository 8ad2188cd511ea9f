"""Thresholds of workloads: quantities and levels are read whole, or refused with what was expected."""

from __future__ import annotations

import pytest

from guardian.policy.params import TYPES, parse_quantity


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("500m", [0, 500_000_000]),
        ("2", [2, 0]),
        (2, [2, 0]),
        ("1.5", [1, 500_000_000]),
        ("8Gi", [8 * 1024**3, 0]),
        ("1.5Ki", [1536, 0]),
        ("3G", [3_000_000_000, 0]),
        ("0.0001m", [0, 100]),
        ("0.000000001m", [0, 1]),
    ],
)
def test_quantity_is_whole_units_and_billionths_rounded_up(text: object, pair: list[int]) -> None:
    assert parse_quantity(text) == pair


@pytest.mark.parametrize(
    "junk", ["", "8 Gi", "8gi", "-1", -1, "1e3", "Gi", True, None, 1.5, ["1"], "999999999999999Ti"]
)
def test_what_is_no_quantity_is_refused(junk: object) -> None:
    with pytest.raises(ValueError, match=r"expected a Kubernetes quantity, such as 500m, 2 or 8Gi"):
        parse_quantity(junk)


def test_level_is_one_of_the_standard() -> None:
    assert [TYPES["level"](name) for name in ("privileged", "baseline", "restricted")] == [
        "privileged",
        "baseline",
        "restricted",
    ]
    assert TYPES["levels"]({"kube-system": "privileged"}) == {"kube-system": "privileged"}


@pytest.mark.parametrize("junk", ["Restricted", "", None, 1, ["baseline"]])
def test_other_words_are_no_level(junk: object) -> None:
    with pytest.raises(ValueError, match="expected one of privileged, baseline, restricted"):
        TYPES["level"](junk)
    with pytest.raises(ValueError, match="expected one of privileged, baseline, restricted"):
        TYPES["levels"]({"erp": junk})


@pytest.mark.parametrize("junk", ["erp", ["erp"], {1: "baseline"}, {"": "baseline"}, None])
def test_what_is_no_mapping_of_namespaces_is_refused(junk: object) -> None:
    with pytest.raises(ValueError, match="expected a mapping of namespace to level"):
        TYPES["levels"](junk)
