"""Runs compiled policies: OPA's WebAssembly ABI 1.x on wasmtime, with a deadline and a memory cap an evaluation.

Invariant: an evaluation sees its input and the bundle, nothing else, no earlier evaluation: the heap is reset before
each. One that traps (deadline, memory, abort) is an error for its input, and the instance it ran in is thrown away.
Lives in one thread; run several processes for parallel work. I/O: wasmtime's cache of compiled modules; host functions
are `builtins.PROVIDED` only.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import wasmtime

from guardian.policy import engine as engines
from guardian.policy.builtins import PROVIDED, BuiltinError
from guardian.policy.engine import DeadlineError, EngineError, EvaluationError
from guardian.policy.metadata import SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guardian.policy.bundle import Bundle
    from guardian.policy.engine import Judgement

DEADLINE_S: Final = 10.0
MEMORY_BYTES: Final = 512 * 1024 * 1024
_PAGE: Final = 65536
_TICKS: Final = 20  # epochs in one deadline: it is kept to a twentieth
_ABI_MAJOR: Final = 1
_ABI_MINOR: Final = 2  # opa_eval in one call


class _Abort(Exception):  # noqa: N818 -- carries opa_abort's message through wasmtime
    pass


class PolicyModule:
    """One compiled module with its data, ready to evaluate entry points."""

    def __init__(
        self, wasm: bytes, data: bytes = b"{}", *, deadline_s: float = DEADLINE_S, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        """Compile and instantiate. Raises EngineError for a foreign ABI or builtins that are not provided."""
        self._deadline_s, self._memory_bytes, self._data = deadline_s, memory_bytes, data
        config = wasmtime.Config()
        config.epoch_interruption = True
        _keep_compiled(config)
        self._engine = wasmtime.Engine(config)
        self._static_pages = -(-len(wasm) // _PAGE)
        try:
            self._module = wasmtime.Module(self._engine, wasm)
        except wasmtime.WasmtimeError as error:
            raise EngineError(f"the compiled policies are not a WebAssembly module: {error}") from error
        # The instance waits in a list between evaluations: there the finalizer finds it, and a trap leaves it empty.
        self._idle: list[_Instance] = []
        stop = threading.Event()
        self._close = weakref.finalize(self, _shut, stop, self._idle)
        self._idle.append(self._fresh())
        self.entrypoints: frozenset[str] = frozenset(self._idle[0].entrypoints)
        threading.Thread(target=_tick, args=(self._engine, deadline_s / _TICKS, stop), daemon=True).start()

    def close(self) -> None:
        """Stop the deadline's clock; no evaluation may follow."""
        self._close()

    def evaluate(self, entrypoint: str, document: bytes) -> Any:  # noqa: ANN401 -- whatever the policy says
        """Return the value of `entrypoint` for the JSON `document` as input, None if it is undefined.

        Raises EvaluationError; the next evaluation is as good as the first.
        """
        instance = self._idle.pop() if self._idle else self._fresh()
        try:
            result = instance.evaluate(entrypoint, document, _TICKS + 1)
        except BaseException:
            instance.close()
            raise
        self._idle.append(instance)
        return result

    def _fresh(self) -> _Instance:
        return _Instance(
            self._engine, self._module, self._data, self._deadline_s, self._memory_bytes, self._static_pages
        )


def _keep_compiled(config: wasmtime.Config) -> None:
    """Let wasmtime keep what it compiles in the user's own cache folder: milliseconds instead of half a second.

    Not in somebody else's, whose code would then run here; nor where none can be written.
    """
    with contextlib.suppress(wasmtime.WasmtimeError, OSError, RuntimeError):
        if Path.home().stat().st_uid == os.geteuid():
            config.cache = True


def _shut(stop: threading.Event, idle: list[_Instance]) -> None:
    stop.set()
    while idle:
        idle.pop().close()


def _tick(engine: wasmtime.Engine, every_s: float, stop: threading.Event) -> None:
    while not stop.wait(every_s):
        engine.increment_epoch()


class _Instance:
    """One instance in its own store. Its memory holds the data at the bottom and one evaluation above it."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        module: wasmtime.Module,
        data: bytes,
        deadline_s: float,
        memory_bytes: int,
        static_pages: int,
    ) -> None:
        """static_pages: what the module's own texts take at most; opa may ask for a page too few for them."""
        self._deadline_s, self._memory_bytes = deadline_s, memory_bytes
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=memory_bytes, instances=1, memories=1, tables=4)
        self._store.set_epoch_deadline(1_000_000)  # loading has no deadline of its own
        self._functions: dict[str, wasmtime.Func] = {}
        self._builtins: dict[int, Callable[..., str]] = {}
        self._memory = self._import_memory(module, static_pages)
        try:
            self._exports = wasmtime.Instance(self._store, module, self._imports(module)).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise EngineError(f"the compiled policies cannot be started: {error}") from error
        self._check_abi()
        self._builtins = _provided(self._named("builtins"))
        self.entrypoints: dict[str, int] = self._named("entrypoints")
        self._data_address = self._call("opa_json_parse", self._write(data), len(data))
        self._heap_base: int = self._call("opa_heap_ptr_get")

    def evaluate(self, entrypoint: str, document: bytes, ticks: int) -> Any:  # noqa: ANN401 -- as evaluate above
        number = self.entrypoints[entrypoint]
        try:
            self._place(self._heap_base, document)
            self._store.set_epoch_deadline(ticks)
            heap = (self._heap_base + len(document) + 7) & ~7
            arguments = (0, number, self._data_address, self._heap_base, len(document), heap, 0)
            address = self._call("opa_eval", *arguments)
        except _Abort as error:
            if str(error) == "opa_malloc: failed":
                raise EvaluationError(self._too_large()) from None
            raise EvaluationError(f"evaluation was aborted: {error}") from None
        except wasmtime.Trap as error:
            raise self._why(error) from None
        except wasmtime.WasmtimeError as error:
            raise EvaluationError(f"evaluation could not be run: {str(error).splitlines()[0]}") from None
        results = orjson.loads(self._text(address))
        return results[0]["result"] if results else None

    def close(self) -> None:
        """Free the memory. Needed: wasmtime holds on to host functions, and they to this instance."""
        self._store.close()

    def _why(self, trap: wasmtime.Trap) -> EvaluationError:
        if trap.trap_code is wasmtime.TrapCode.INTERRUPT:
            return DeadlineError(self._deadline_s)
        name = trap.trap_code.name.lower().replace("_", " ") if trap.trap_code else "unknown"
        return EvaluationError(f"evaluation trapped: {name}")

    def _too_large(self) -> str:
        return f"evaluation exceeded its memory cap of {self._memory_bytes // (1024 * 1024)} MiB"

    def _import_memory(self, module: wasmtime.Module, static_pages: int) -> wasmtime.Memory:
        memories = [entry.type for entry in module.imports if isinstance(entry.type, wasmtime.MemoryType)]
        if len(memories) != 1:
            raise EngineError(f"the compiled policies import {len(memories)} memories, which is not OPA's ABI")
        least = memories[0].limits.min + static_pages
        limits = wasmtime.Limits(least, max(least, self._memory_bytes // _PAGE))
        return wasmtime.Memory(self._store, wasmtime.MemoryType(limits))

    def _imports(self, module: wasmtime.Module) -> list[wasmtime.Func | wasmtime.Memory]:
        """Return what the module imports, in its order: memory, opa_abort, opa_println, and the builtin gates."""
        found: list[wasmtime.Func | wasmtime.Memory] = []
        for entry in module.imports:
            if isinstance(entry.type, wasmtime.MemoryType):
                found.append(self._memory)
                continue
            hosts: dict[str, Callable[..., int | None]] = {"opa_abort": self._abort, "opa_println": _ignore}
            hosts |= {f"opa_builtin{count}": self._builtin for count in range(5)}
            host = hosts.get(str(entry.name))
            if entry.module != "env" or host is None:
                raise EngineError(f"the compiled policies import {entry.module}.{entry.name}, which is not OPA's ABI")
            found.append(wasmtime.Func(self._store, cast("wasmtime.FuncType", entry.type), host))
        return found

    def _check_abi(self) -> None:
        versions = []
        for name in ("opa_wasm_abi_version", "opa_wasm_abi_minor_version"):
            exported = self._exports.get(name)
            versions.append(exported.value(self._store) if isinstance(exported, wasmtime.Global) else None)
        major, minor = versions
        if major != _ABI_MAJOR or not isinstance(minor, int) or minor < _ABI_MINOR:
            raise EngineError(
                f"the compiled policies speak OPA ABI {major}.{minor}; expected 1.{_ABI_MINOR} or later 1.x"
            )

    def _abort(self, address: int) -> None:
        raise _Abort(self._text(address).decode("utf-8", "replace"))

    def _builtin(self, number: int, _context: int, *addresses: int) -> int:
        """Compute one host builtin; 0 (undefined) if its arguments are not what it takes."""
        arguments = [self._text(self._call("opa_value_dump", address)).decode() for address in addresses]
        try:
            result = self._builtins[number](*arguments).encode()
        except BuiltinError:
            return 0
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            raise EvaluationError(f"a builtin failed: {type(error).__name__}") from error
        return cast("int", self._call("opa_json_parse", self._write(result), len(result)))

    def _call(self, name: str, *arguments: int) -> Any:  # noqa: ANN401 -- numbers, as the ABI says
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = cast("wasmtime.Func", self._exports[name])
        return function(self._store, *arguments)

    def _named(self, name: str) -> dict[str, int]:
        return cast("dict[str, int]", orjson.loads(self._text(self._call("opa_json_dump", self._call(name)))))

    def _write(self, content: bytes) -> int:
        """Copy `content` to memory that the module's allocator gives; return its address."""
        address: int = self._call("opa_malloc", max(1, len(content)))
        self._memory.write(self._store, content, address)
        return address

    def _place(self, address: int, content: bytes) -> None:
        """Copy `content` to `address`, growing the memory if it must. Raises EvaluationError at the cap."""
        missing = address + len(content) + _PAGE - self._memory.data_len(self._store)
        if missing > 0:
            try:
                self._memory.grow(self._store, -(-missing // _PAGE))
            except wasmtime.WasmtimeError:
                raise EvaluationError(self._too_large()) from None
        self._memory.write(self._store, content, address)

    def _text(self, address: int) -> bytes:
        """Return the NUL-terminated text at `address`. Raises EvaluationError if it runs out of the memory."""
        size = self._memory.data_len(self._store)
        if not 0 < address < size:
            raise EvaluationError("evaluation returned an address outside its memory")
        start = cast("int", ctypes.cast(self._memory.data_ptr(self._store), ctypes.c_void_p).value)
        text: bytes = (ctypes.c_char * (size - address)).from_address(start + address).value  # up to the first NUL
        if address + len(text) == size:
            raise EvaluationError("evaluation returned a text that does not end")
        return text


def _ignore(_address: int) -> None:
    """opa_println: policies have nothing to say to a terminal."""


def _provided(wanted: Mapping[str, int]) -> dict[int, Callable[..., str]]:
    refused = sorted(set(wanted) - set(PROVIDED))
    if refused:
        raise EngineError(
            f"the policies call {', '.join(refused)}, which this engine does not provide: a verdict may depend on its "
            f"input alone. Provided are {', '.join(sorted(PROVIDED))} and what OPA compiles into the module"
        )
    return {number: PROVIDED[name] for name, number in wanted.items()}


class WasmEngine:
    """The default engine: a bundle's controls, judged in this process. One instance belongs to one thread."""

    name = "wasm"

    def __init__(self, bundle: Bundle, *, deadline_s: float = DEADLINE_S, memory_bytes: int = MEMORY_BYTES) -> None:
        """Load `bundle`. deadline_s: seconds, memory_bytes: cap, for each evaluation. Raises EngineError."""
        self.version: str = importlib.metadata.version("wasmtime")
        self.bundle_digest = bundle.digest
        self._module = PolicyModule(bundle.wasm, bundle.data, deadline_s=deadline_s, memory_bytes=memory_bytes)
        missing = {f"guardian/dispatch/{scope}" for scope in SCOPES} - self._module.entrypoints
        if missing:
            raise EngineError(f"the compiled policies lack the entry points {', '.join(sorted(missing))}")

    def close(self) -> None:
        """Stop the deadline's clock; no evaluation may follow."""
        self._module.close()

    def judge(
        self, scope: str, controls: Mapping[str, Mapping[str, Any]], document: Mapping[str, Any]
    ) -> Sequence[Judgement]:
        """Judge one input by several controls in one crossing; see `engine.Engine` and `engine.judge_each`."""

        def crossing(asked: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
            answers = self._module.evaluate(f"guardian/dispatch/{scope}", engines.encode(asked, document))
            return cast("Mapping[str, Any]", answers or {})

        return engines.judge_each(controls, crossing)
