"""What Guardian relies on in the pinned opa-python-client: one session, which every request goes through unchanged."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from opa_client import OpaClient
from requests.adapters import BaseAdapter

from guardian.policy.engine import EvaluationError
from guardian.policy.opa import Connection
from guardian.policy.opa_child import Child
from guardian.policy.opa_transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardian.policy.bundle import Bundle


class Recorder(BaseAdapter):
    """Answers every request with a status and a body, and keeps it with the options it was sent with."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__()
        self.status, self.body = status, body
        self.sent: list[tuple[requests.PreparedRequest, dict[str, Any]]] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        self.sent.append((request, options))
        answer = requests.Response()
        answer.status_code, answer._content, answer.request = self.status, self.body, request
        return answer

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def client() -> Iterator[OpaClient]:
    """A client as the engine makes one."""
    made = OpaClient(host="127.0.0.1", port=8181, token="tok", retries=0, timeout=(1.5, 2.5))
    yield made
    made.close_connection()


def test_a_query_is_one_post_of_the_input_with_the_token_and_our_timeouts(client: OpaClient) -> None:
    recorder = Recorder(200, b'{"result": {"a": 1}}')
    client._session.mount("http://", recorder)
    told = client.query_rule({"x": [1]}, "guardian/dispatch/resource", query_params={"strict-builtin-errors": "true"})
    assert told == {"result": {"a": 1}}
    [(request, options)] = recorder.sent
    assert request.method == "POST"
    assert request.url == "http://127.0.0.1:8181/v1/data/guardian/dispatch/resource?strict-builtin-errors=true"
    assert json.loads(request.body or b"") == {"input": {"x": [1]}}
    assert request.headers["Authorization"] == "Bearer tok"
    assert options["timeout"] == (1.5, 2.5)


def test_a_failed_evaluation_is_one_request_and_an_error_that_holds_the_answer(client: OpaClient) -> None:
    recorder = Recorder(500, b'{"errors": [{"message": "why"}]}')
    client._session.mount("http://", recorder)
    with pytest.raises(requests.HTTPError) as failed:
        client.query_rule({}, "guardian/x")
    assert failed.value.response.content == recorder.body
    assert len(recorder.sent) == 1


def test_health_is_asked_at_its_own_path(client: OpaClient) -> None:
    recorder = Recorder(200, b"{}")
    client._session.mount("http://", recorder)
    assert client.check_health() is True
    assert [request.url for request, _ in recorder.sent] == ["http://127.0.0.1:8181/health"]


def test_after_mounting_every_request_of_the_client_has_one_way_out(client: OpaClient) -> None:
    transport = Transport("127.0.0.1", 8181, deadline_s=1)
    with contextlib.closing(transport):
        transport.mount(client)
        session = client._session
        assert isinstance(session, requests.Session)
        assert dict(session.adapters) == {"http://": transport}
        assert session.get_adapter("http://anything.example/") is transport
        with pytest.raises(requests.exceptions.InvalidSchema):
            session.get_adapter("https://127.0.0.1:8181/")
        assert (session.trust_env, session.max_redirects) == (False, 0)
        assert transport.max_retries.total == 0


def test_answers_of_any_size_up_to_the_cap_come_whole_over_the_socket(opa: Path, policy_bundle: Bundle) -> None:
    with contextlib.closing(Child(opa, policy_bundle.opa_bundle())) as child:
        address = child.address()
        with contextlib.closing(Connection(address, 30)) as connection:
            seen = connection.ask("guardian/bundle/digest", {})
            assert seen["result"] == policy_bundle.digest
            assert seen["provenance"]["bundles"]["policies.tar.gz"] == {"revision": policy_bundle.digest}
            large = {"resource": {"id": "é" * 1_000_000, "attributes": {"settings": {"fsync": "x" * 5_000_000}}}}
            asked = {**large, "controls": {"postgres.durability": {"synchronousCommit": True}}}
            for _ in range(3):
                [finding] = connection.ask("guardian/dispatch/resource", asked)["result"]["postgres.durability"][
                    "findings"
                ]
                assert finding["resource"] == large["resource"]["id"]
            assert len(finding["observed"]["fsync"]) == 5_000_000


def test_nothing_is_sent_on_a_line_that_the_server_closed(opa: Path, policy_bundle: Bundle) -> None:
    child = Child(opa, policy_bundle.opa_bundle())
    with contextlib.closing(child), contextlib.closing(Connection(child.address(), 10)) as connection:
        connection.ask("guardian/bundle/digest", {})
        child.close()
        with pytest.raises(EvaluationError, match="did not answer"):
            connection.ask("guardian/bundle/digest", {})
