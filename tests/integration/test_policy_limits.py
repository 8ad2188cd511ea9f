"""An evaluation that runs away, eats memory, aborts or asks for the forbidden is an error for its input alone."""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING, Any

import pytest
import wasmtime

from guardian.policy.build import build_wasm
from guardian.policy.bundle import Bundle
from guardian.policy.engine import EngineError, EvaluationError
from guardian.policy.metadata import Catalogue
from guardian.policy.wasm import PolicyModule, WasmEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Three controls: `limits.quick` is well-behaved, `limits.wild` does to an input what the input asks for.
REGO = """package guardian.dispatch

resource["limits.quick"] := {"findings": quick} if is_object(input.controls["limits.quick"])

resource["limits.wild"] := {"findings": wild} if is_object(input.controls["limits.wild"])

snapshot["limits.quick"] := {"findings": [], "judged": ["a"]} if is_object(input.controls["limits.quick"])

quick contains finding if {
	input.resource.bad == true
	finding := {"resource": input.resource.id, "verdict": "fail"}
}

wild contains "endless" if {
	input.resource.wild == "loop"
	some one in input.resource.many
	some other in input.resource.many
	some third in input.resource.many
	one == other
	other == third
	one == 0
}

wild contains "large" if {
	input.resource.wild == "memory"
	count(numbers.range(1, 20000000)) == 1
}

conflict := 1 if input.resource.wild == "abort"

conflict := 2 if input.resource.wild == "abort"

wild contains conflict if input.resource.wild == "abort"

wild contains "undefined" if {
	input.resource.wild == "builtin"
	sprintf(input.resource.wild, input.resource.wild) == "x"
}
"""
MIB = 1024 * 1024
CAUSES = {
    "loop": "evaluation exceeded its deadline of 0.3 s",
    "memory": "evaluation exceeded its memory cap of 48 MiB",
    "abort": "evaluation was aborted: dispatch.rego:31:1: ",
}


@pytest.fixture(scope="module")
def wasm(opa: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The module of REGO."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "dispatch.rego").write_text(REGO)
    return build_wasm(opa, folder, ["guardian/dispatch/resource", "guardian/dispatch/snapshot"])


@pytest.fixture(scope="module")
def engine(wasm: bytes) -> Iterator[WasmEngine]:
    """An engine with limits that a test can reach."""
    bundle = Bundle(wasm, b"{}", "0" * 64, Catalogue({}), "1.20.2", "")
    engine = WasmEngine(bundle, deadline_s=0.3, memory_bytes=48 * MIB)
    yield engine
    engine.close()


def judge(engine: WasmEngine, resource: dict[str, Any], *controls: str) -> dict[str, tuple[list[Any], str | None]]:
    """Return findings and error by control."""
    judged = engine.judge("resource", {control: {} for control in controls}, {"resource": resource})
    return {entry.control: (list(entry.findings), entry.error) for entry in judged}


def wild(cause: str) -> dict[str, Any]:
    """Return an input that makes `limits.wild` do what `cause` says."""
    return {"id": "b", "wild": cause, "many": list(range(1, 3000))}


@pytest.mark.parametrize("cause", CAUSES)
def test_runaway_evaluation_is_an_error_and_the_next_one_is_right(engine: WasmEngine, cause: str) -> None:
    before = judge(engine, {"id": "a", "bad": True}, "limits.quick")
    [(findings, error)] = judge(engine, wild(cause), "limits.wild").values()
    assert findings == []
    assert error is not None
    assert error.startswith(CAUSES[cause])
    assert judge(engine, {"id": "a", "bad": True}, "limits.quick") == before
    assert before == {"limits.quick": ([{"resource": "a", "verdict": "fail"}], None)}


@pytest.mark.parametrize("cause", CAUSES)
def test_one_controls_trap_leaves_the_others_their_verdicts(engine: WasmEngine, cause: str) -> None:
    judged = judge(engine, wild(cause) | {"bad": True}, "limits.quick", "limits.wild")
    assert judged["limits.quick"] == ([{"resource": "b", "verdict": "fail"}], None)
    assert judged["limits.wild"][1] is not None


def test_failing_builtin_leaves_its_own_rule_undefined_and_nothing_else(engine: WasmEngine) -> None:
    judged = judge(engine, {"id": "b", "bad": True, "wild": "builtin"}, "limits.quick", "limits.wild")
    assert judged == {"limits.quick": ([{"resource": "b", "verdict": "fail"}], None), "limits.wild": ([], None)}


def test_input_larger_than_the_cap_is_an_error_and_the_next_one_is_right(engine: WasmEngine) -> None:
    [(_, error)] = judge(engine, {"id": "b", "text": "x" * (60 * MIB)}, "limits.quick").values()
    assert error == CAUSES["memory"]
    assert judge(engine, {"id": "a"}, "limits.quick") == {"limits.quick": ([], None)}


def test_input_that_is_not_json_is_an_error(engine: WasmEngine) -> None:
    for strange in (2**70, object(), {1, 2}, "\ud800"):
        [(_, error)] = judge(engine, {"id": "b", "value": strange}, "limits.quick").values()
        assert error is not None
        assert error.startswith("the input is not JSON")


def test_deeply_nested_input_is_an_error_and_the_next_one_is_right(engine: WasmEngine) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    [(_, error)] = judge(engine, {"id": "b", "value": nested}, "limits.quick").values()
    assert error is not None
    assert judge(engine, {"id": "a"}, "limits.quick") == {"limits.quick": ([], None)}
    while nested:  # unnested by hand: freeing it at once would recurse
        nested = nested.pop()


def test_control_that_says_nothing_is_an_error(engine: WasmEngine) -> None:
    [(_, error)] = judge(engine, {"id": "a"}, "limits.unknown").values()
    assert error is not None
    assert error.startswith("evaluation gave no verdict")


def test_verdicts_do_not_depend_on_what_was_evaluated_before(engine: WasmEngine) -> None:
    for size in (1, 100_000, 10, 1_000_000, 3):
        resource = {"id": "a", "bad": True, "text": "é" * size}
        assert judge(engine, resource, "limits.quick") == {
            "limits.quick": ([{"resource": "a", "verdict": "fail"}], None)
        }


def test_instance_that_trapped_is_thrown_away_and_a_sound_one_is_kept(wasm: bytes) -> None:
    module = PolicyModule(wasm, deadline_s=5)
    [first] = module._idle
    module.evaluate("guardian/dispatch/resource", b"{}")
    assert module._idle == [first]
    with pytest.raises(EvaluationError):
        module.evaluate("guardian/dispatch/resource", b'{"controls":{"limits.wild":{}},"resource":{"wild":"abort"}}')
    assert module._idle == []
    module.evaluate("guardian/dispatch/resource", b"{}")
    assert module._idle != [first]
    module.close()


def test_many_traps_do_not_add_up_in_memory(wasm: bytes) -> None:
    module = PolicyModule(wasm, deadline_s=5, memory_bytes=48 * MIB)
    before = _resident_kib()
    for _ in range(30):
        with pytest.raises(EvaluationError):
            module.evaluate(
                "guardian/dispatch/resource", b'{"controls":{"limits.wild":{}},"resource":{"wild":"memory"}}'
            )
    gc.collect()
    module.close()
    assert _resident_kib() - before < 10 * 48 * 1024


def _resident_kib() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 -- a kernel file
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


@pytest.mark.parametrize(
    ("builtin", "arguments"),
    [("time.now_ns", "()"), ("http.send", '({"method": "get", "url": "http://x"})'), ("rand.intn", '("x", 5)')],
)
def test_builtin_that_is_not_provided_is_refused_by_name(
    opa: Path, tmp_path: Path, builtin: str, arguments: str
) -> None:
    (tmp_path / "forbidden.rego").write_text(f"package forbidden\n\nx := {builtin}{arguments}\n")
    wasm = build_wasm(opa, tmp_path, ["forbidden/x"])
    with pytest.raises(EngineError, match=re.escape(builtin)):
        PolicyModule(wasm)


def test_module_without_the_dispatcher_is_refused(opa: Path, tmp_path: Path) -> None:
    (tmp_path / "other.rego").write_text("package other\n\nx := 1\n")
    bundle = Bundle(build_wasm(opa, tmp_path, ["other/x"]), b"{}", "", Catalogue({}), "", "")
    with pytest.raises(EngineError, match="guardian/dispatch/resource"):
        WasmEngine(bundle)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(EngineError, match="not a WebAssembly module"):
        PolicyModule(b"\0asm\1\0\0\0garbage")
    with pytest.raises(EngineError, match="0 memories"):
        PolicyModule(b"\0asm\1\0\0\0")


def test_data_of_the_bundle_is_seen_by_every_evaluation(opa: Path, tmp_path: Path) -> None:
    (tmp_path / "reader.rego").write_text("package reader\n\nx := data.limits.most + input.more\n")
    module = PolicyModule(build_wasm(opa, tmp_path, ["reader/x"]), b'{"limits":{"most":40}}')
    assert [module.evaluate("reader/x", b'{"more":2}') for _ in range(3)] == [42, 42, 42]
    module.close()


def test_texts_of_a_module_that_end_beyond_the_memory_it_asks_for_have_room() -> None:
    """opa 1.20 asks for a page too few where its last texts cross the end of a page."""
    text = '(module (import "env" "memory" (memory 1)) (data (i32.const 65530) "0123456789"))'
    with pytest.raises(EngineError, match="speak OPA ABI None"):  # it starts, and then is no policy
        PolicyModule(bytes(wasmtime.wat2wasm(text)))
