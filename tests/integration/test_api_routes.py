"""Every route for every role, what lists and documents look like, and how the API says no."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from guardian.api.app import make_app
from tests.api_support import ROLES, Api, settings_with_api, token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardian.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
EVERYBODY = frozenset(ROLES)
NOBODY: frozenset[str] = frozenset()
# Route (method, template) -> (a path of it, who may). All else is refused, whoever asks.
ALLOWED: dict[tuple[str, str], tuple[str, frozenset[str]]] = {
    ("GET", "/v1/records"): ("/v1/records", EVERYBODY),
    ("GET", "/v1/records/{id}"): ("/v1/records/1", EVERYBODY),
    ("GET", "/v1/records/{id}/envelope"): ("/v1/records/1/envelope", EVERYBODY),
    ("GET", "/v1/services"): ("/v1/services", EVERYBODY),
    ("GET", "/v1/services/{name}"): ("/v1/services/erp-plant1", EVERYBODY),
    ("GET", "/v1/controls"): ("/v1/controls", EVERYBODY),
    ("GET", "/v1/drills"): ("/v1/drills", EVERYBODY),
    ("GET", "/v1/coverage"): ("/v1/coverage", EVERYBODY),
    ("GET", "/v1/openapi.json"): ("/v1/openapi.json", EVERYBODY),
    ("GET", "/checkpoint"): ("/checkpoint", EVERYBODY),
    ("GET", "/tile/{path:path}"): ("/tile/0/000.p/1", EVERYBODY),
    ("POST", "/v1/packs"): ("/v1/packs", frozenset({"auditor", "admin"})),
    ("GET", "/v1/packs/{id}"): ("/v1/packs/019aaf00-6f2e-7c1a-9d2b-5d8f3b1c2a10", frozenset({"auditor", "admin"})),
    ("GET", "/v1/packs/{id}/file"): (
        "/v1/packs/019aaf00-6f2e-7c1a-9d2b-5d8f3b1c2a10/file",
        frozenset({"auditor", "admin"}),
    ),
    ("GET", "/metrics"): ("/metrics", frozenset({"operator", "admin"})),
}
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_with_api(tmp_path_factory.mktemp("routes"))


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[Api]:
    with Api(settings) as running:
        yield running


@pytest.fixture(scope="module")
def by_role(settings: Settings) -> dict[str, str]:
    return {role: token(settings, f"the-{role}", role) for role in ROLES}


@pytest.fixture(scope="module")
def auditor(by_role: dict[str, str]) -> str:
    return by_role["auditor"]


@pytest.fixture(scope="module")
def described(api: Api, auditor: str) -> dict[str, Any]:
    document: dict[str, Any] = api.get("/v1/openapi.json", auditor).json()
    return document


def test_the_table_of_this_test_has_every_route_that_there_is(settings: Settings) -> None:
    app = make_app(settings)
    routes = {
        (method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods or ()
    }
    assert routes == set(ALLOWED) | OPEN


@pytest.mark.parametrize("role", ROLES)
def test_a_role_does_what_it_may_and_is_refused_everything_else(api: Api, by_role: dict[str, str], role: str) -> None:
    for (_, template), (path, _) in ALLOWED.items():
        for method in METHODS:
            answered = api.send(method, path, by_role[role])
            allowed = ALLOWED.get((method, template), (path, NOBODY))[1]
            known = {m for m, t in ALLOWED if t == template}
            if method not in known:
                assert answered.status_code == 405, (method, path, answered.status_code)
            elif role in allowed:
                # These packs were never asked for; a pack that is asked for here is accepted.
                expected = {404} if "{id}" in template and "packs" in template else {200, 202, 429}
                assert answered.status_code in expected, (method, path, answered.text)
            else:
                assert answered.status_code == 403, (method, path, answered.status_code)
                assert answered.json()["type"] == "urn:guardian:problem:forbidden"


@pytest.mark.parametrize("method", METHODS)
def test_without_a_token_nothing_is_answered(api: Api, method: str) -> None:
    for path, _ in ALLOWED.values():
        answered = api.send(method, path)
        if method == "GET" or path.startswith("/v1/"):
            assert answered.status_code == 401, (method, path)
            assert answered.headers["WWW-Authenticate"].startswith("Bearer")
        else:
            assert answered.status_code in {401, 403, 405}, (method, path)
    assert api.get("/healthz").text == "ok\n"
    assert api.get("/readyz").text == "ok\n"


@pytest.mark.parametrize("shown", ["gdn_" + "A" * 43, "gdn_short", "Basic", "", "gdn_" + "é" * 43])
def test_a_wrong_token_is_refused_even_where_none_is_needed(api: Api, shown: str) -> None:
    for path in ("/v1/records", "/checkpoint", "/console/", "/nothing"):
        answered = api.get(path, headers={"Authorization": f"Bearer {shown}".encode()})
        assert answered.status_code in {401, 429}
        assert shown not in answered.text or not shown


def test_an_answer_of_every_route_is_as_openapi_describes_it(api: Api, auditor: str, described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    compared = 0
    for (method, template), (path, _) in ALLOWED.items():
        operation = described["paths"][template.replace("{path:path}", "{path}")][method.lower()]
        success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        schema = success["content"].get("application/json", {}).get("schema")
        if "packs/{id}" in template or not schema:
            continue
        answered = api.send(method, path, auditor)
        if template != "/v1/openapi.json":
            _hold(answered.json(), schema, described)
            compared += 1
    assert compared >= 8


def test_a_record_of_each_kind_and_a_drill_are_as_openapi_describes_them(
    api: Api, auditor: str, described: dict[str, Any]
) -> None:
    rows = api.get("/v1/records?limit=200", auditor).json()["records"]
    kinds = {row["kind"]: row["index"] for row in rows}
    assert len(kinds) >= 6
    for index in kinds.values():
        _hold(api.get(f"/v1/records/{index}", auditor).json(), {"$ref": "#/components/schemas/Record"}, described)
    assert api.get("/v1/drills", auditor).json()["drills"]


def test_a_problem_is_as_openapi_describes_it(api: Api, auditor: str, described: dict[str, Any]) -> None:
    schema = described["paths"]["/v1/records"]["get"]["responses"]["default"]["content"]["application/problem+json"]
    for path in ("/v1/records/9999", "/v1/records?nope=1", "/v1/metrics", "/v1/records?limit=0"):
        _hold(api.get(path, auditor).json(), schema["schema"], described)


def test_every_example_fits_its_own_schema(described: dict[str, Any]) -> None:
    checked = 0
    for schema in described["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            _hold(example, schema, described)
            checked += 1
    assert checked >= 10


def _hold(value: object, schema: dict[str, Any], described: dict[str, Any]) -> None:
    whole = {**schema, "components": described["components"]}
    problems = [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(whole).iter_errors(value)]
    assert not problems


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/nothing", 404, "not-found"),
        ("/v1/nothing", 404, "not-found"),
        ("/v1/records/", 404, "not-found"),
        ("/v1/records/9999", 404, "not-found"),
        ("/v1/records/%20", 422, "invalid-request"),
        ("/v1/services/unheard", 404, "not-found"),
        ("/v1/records?limit=201", 422, "invalid-request"),
        ("/v1/records?cursor=-1", 422, "invalid-request"),
        ("/v1/records?order=sideways", 422, "invalid-request"),
        ("/v1/records?kind=nonsense", 422, "invalid-request"),
        ("/v1/records?since=yesterday", 422, "invalid-request"),
        ("/v1/records?limit=1&limit=2", 422, "invalid-request"),
        ("/v1/services?limit=1", 422, "invalid-request"),
        ("/v1/coverage?since=2026-11-03&until=2026-11-01", 422, "invalid-request"),
        ("/v1/coverage?since=soon", 422, "invalid-request"),
        ("/tile/0/999", 404, "not-found"),
        ("/v1/records?x=" + "a" * 9000, 414, "url-too-long"),
    ],
)
def test_every_refusal_is_a_problem_document(api: Api, auditor: str, path: str, status: int, kind: str) -> None:
    answered = api.get(path, auditor)
    assert answered.status_code == status
    assert answered.headers["Content-Type"] == "application/problem+json"
    problem = answered.json()
    assert problem["type"] == f"urn:guardian:problem:{kind}"
    assert (problem["status"], problem["instance"]) == (status, path.partition("?")[0].replace("%20", " "))
    assert problem["title"]
    assert problem["detail"]


def test_an_unknown_query_parameter_is_refused_and_the_known_are_named(api: Api, auditor: str) -> None:
    problem = api.get("/v1/records?servce=erp-plant1", auditor).json()
    assert problem["status"] == 422
    assert "service" in problem["detail"]
    assert problem["errors"] == [{"parameter": "servce", "detail": "unknown"}]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_follow_their_links_through_every_record_once(api: Api, auditor: str, order: str) -> None:
    path: str | None = f"/v1/records?order={order}&limit=3"
    seen: list[int] = []
    while path is not None:
        answered = api.get(path, auditor)
        page = answered.json()
        seen += [row["index"] for row in page["records"]]
        link = re.fullmatch(r'<(\S+)>; rel="next"', answered.headers.get("Link", ""))
        assert (link[1] if link else None) == page["next"]
        path = page["next"]
    assert seen == sorted(seen, reverse=order == "newest")
    assert set(range(17)) <= set(seen)
    assert len(set(seen)) == len(seen)


def test_a_filter_goes_along_with_the_link_to_the_next_page(api: Api, auditor: str) -> None:
    page = api.get("/v1/drills?service=erp-plant1&limit=2", auditor).json()
    assert "service=erp-plant1" in page["next"]
    following = api.get(page["next"], auditor).json()
    rows = page["drills"] + following["drills"]
    assert {row["service"] for row in rows} == {"erp-plant1"}
    assert len({row["index"] for row in rows}) == len(rows)


def test_an_envelope_is_the_exact_bytes_and_never_changes(api: Api, auditor: str) -> None:
    answered = api.get("/v1/records/1/envelope", auditor)
    record = api.get("/v1/records/1", auditor).json()
    assert answered.content == base64.b64decode(record["envelope"])
    entry = orjson.loads(base64.b64decode(record["entry"]))
    assert hashlib.sha256(answered.content).hexdigest() == entry["envelopeSha256"]
    assert answered.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    again = api.get("/v1/records/1/envelope", auditor, headers={"If-None-Match": answered.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = api.get("/v1/records/1/envelope", auditor, headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_a_record_by_its_id_and_by_its_index_is_one(api: Api, auditor: str) -> None:
    by_index = api.get("/v1/records/2", auditor).json()
    by_id = api.get(f"/v1/records/{by_index['record']['recordId']}", auditor).json()
    assert by_id["envelope"] == by_index["envelope"]


def test_a_record_whose_tree_has_not_grown_is_not_sent_again(api: Api, auditor: str) -> None:
    first = api.get("/v1/records/1", auditor)
    again = api.get("/v1/records/1", auditor, headers={"If-None-Match": f'W/{first.headers["ETag"]}, "x"'})
    grown = api.get("/v1/records/1", auditor).json()["proof"]["treeSize"] != first.json()["proof"]["treeSize"]
    assert again.status_code == 304 or grown


def test_answers_are_kept_by_nobody_and_run_nothing(api: Api, auditor: str) -> None:
    for path in ("/v1/records", "/v1/services", "/nothing", "/healthz"):
        headers = api.get(path, auditor).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "server" not in {name.lower() for name in headers}


def test_metrics_count_answers_by_template_and_never_by_path(api: Api, by_role: dict[str, str]) -> None:
    api.get("/v1/records/3", by_role["auditor"])
    api.get("/v1/secret-looking-path", by_role["auditor"])
    page = api.get("/metrics", by_role["operator"]).text
    assert re.search(r'guardian_api_requests_total\{method="GET",route="/v1/records/\{id\}",status="200"\} \d', page)
    assert re.search(r'guardian_api_request_seconds_bucket\{le="0.01",route="/v1/records"\}', page)
    assert "secret-looking" not in page
