from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from guardian.collectors import Observed, Unreadable
from guardian.model import Asset, Match, Resource, Service, Source, Tier
from guardian.normalise import Estate, collection_error, normalise, plain
from guardian.redact import is_redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Seen:
    """A collector called `db` that has already looked."""

    type = "postgres"
    name = "db"
    id_scheme = "pg"
    kinds: Sequence[str] = ("postgres.Server",)
    sensitive: Mapping[str, Sequence[str]] = {"postgres.Server": ["/secret"]}

    def collect(self, now: datetime) -> Any:
        raise NotImplementedError


def service(name: str, *matches: Match, tier: Tier = Tier.LOW) -> Service:
    asset = Asset(f"{name}-asset", "odoo", name, None, Source())
    return Service(name, tier=tier, match=matches, assets=(asset,))


def resource(
    *services: Service,
    key: str = "db/server",
    scope: dict[str, Any] | None = None,
    asset: str | None = None,
    **more: Any,
) -> Resource:
    observed = Observed("postgres.Server", key, more, asset, scope or {})
    return normalise(observed, Seen(), Estate(services, bytes(32)))


def test_unmatched_resource_has_no_service_and_no_tier() -> None:
    found = resource(service("a", Match("other")))
    assert (found.id, found.service, found.tier) == ("pg:db/server", None, None)
    assert found.source == {"collector": "postgres", "name": "db"}


@pytest.mark.parametrize(
    ("match", "scope"),
    [
        (Match("db", id_prefix="pg:db/ser"), {}),
        (Match("db", labels={"app": "erp"}), {"labels": {"app": "erp", "x": "y"}}),
        (Match("db", tags={"app": "erp"}), {"tags": {"app": "erp"}}),
        (Match("db", namespace="erp"), {"namespace": "erp"}),
    ],
)
def test_most_specific_match_wins(match: Match, scope: dict[str, Any]) -> None:
    found = resource(service("wide", Match("db")), service("narrow", match, tier=Tier.CRITICAL), scope=scope)
    assert (found.service, found.tier) == ("narrow", Tier.CRITICAL)
    elsewhere = resource(service("wide", Match("db")), service("narrow", match), key="db/role/x")
    assert elsewhere.service == "wide"


def test_longer_prefix_beats_labels_and_namespace() -> None:
    found = resource(
        service("labels", Match("db", namespace="n", labels={"a": "b"})),
        service("prefix", Match("db", id_prefix="pg:")),
        scope={"namespace": "n", "labels": {"a": "b"}},
    )
    assert found.service == "prefix"


def test_what_concerns_an_asset_belongs_to_its_service_whatever_matches() -> None:
    found = resource(service("one", Match("db")), service("two", tier=Tier.CRITICAL), asset="two-asset")
    assert (found.service, found.tier, found.asset) == ("two", Tier.CRITICAL, "two-asset")
    gone = resource(service("one"), asset="gone-asset", service="one")
    assert (gone.service, gone.asset) == ("one", "gone-asset")
    assert resource(service("one"), asset="gone-asset", service="gone").service is None


def test_secrets_go_and_their_pointers_stay() -> None:
    found = resource(secret="x", open="y", secrets=["password=z"])
    assert is_redacted(found.attributes["secret"])
    assert found.attributes["open"] == "y"
    assert found.redacted == ("/secret", "/secrets/0")


def test_numbers_keep_64_bits_and_become_text_beyond() -> None:
    values = {"max": 2**63 - 1, "min": -(2**63), "over": 2**63, "under": -(2**63) - 1, "yes": True}
    expected = {"max": 2**63 - 1, "min": -(2**63), "over": str(2**63), "under": str(-(2**63) - 1), "yes": True}
    assert plain(values) == expected
    assert plain([Decimal("12.50"), Decimal(2**70), Decimal(7), Decimal("NaN")]) == ["12.50", str(2**70), 7, "NaN"]
    assert plain([1.5, float("nan"), float("inf")]) == [1.5, None, None]


def test_times_become_utc_and_tiers_plain_text() -> None:
    moment = datetime(2026, 11, 23, 12, 0, 5, 999, tzinfo=timezone(timedelta(hours=1)))
    assert plain((moment, Tier.LOW)) == ["2026-11-23T11:00:05Z", "low"]
    assert type(plain(Tier.LOW)) is str


def test_bytes_have_no_json_form() -> None:
    with pytest.raises(TypeError, match="bytes has no JSON form"):
        plain({"a": b"x"})


def test_names_that_are_no_utf8_and_control_characters_do_not_break_an_id() -> None:
    assert resource(key="db/role/a\nb\x7f").id == "pg:db/role/a%0Ab%7F"
    assert resource(key="db/role/\udcff").id == "pg:db/role/\ufffd"


def test_volatile_fields_of_kubernetes_objects_are_dropped() -> None:
    observed = Observed(
        "k8s.core.Pod", "db/x", {"metadata": {"name": "p", "resourceVersion": "7", "managedFields": [1]}}
    )
    assert normalise(observed, Seen(), Estate((), bytes(32))).attributes == {"metadata": {"name": "p"}}


def test_collection_error_gathers_what_is_wrong_with_one_kind() -> None:
    found = [Unreadable("postgres.Role", reason, f"d{number % 7}") for number, reason in enumerate(["denied"] * 9)]
    error = collection_error("postgres.Role", found, Seen(), Estate((), bytes(32)))
    assert error.id == "error:postgres/db/postgres.Role"
    assert error.attributes == {"reason": "denied", "detail": "d0; d1; d2; d3; d4; and 2 more", "kind": "postgres.Role"}


def test_estate_finds_nothing_by_no_name() -> None:
    estate = Estate((service("a"),), bytes(32))
    assert (estate.service(None), estate.asset(None)) == (None, None)


@pytest.mark.parametrize("levels", [201, 5000])
def test_attributes_that_nest_too_deeply_are_refused_without_recursion(levels: int) -> None:
    deep: Any = 1
    for _ in range(levels):
        deep = {"a": deep} if levels % 2 else [deep]
    with pytest.raises(ValueError, match="nest too deeply, more than 200 levels"):
        resource(deep=deep)
    assert resource(deep=[[[1]]]).attributes == {"deep": [[[1]]]}
