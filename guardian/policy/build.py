"""Compiles `policies/` into `policies/compiled/` with a given `opa`; `--check` compares bytes instead of writing.

Invariant: the same sources and the same opa give the same bytes, wherever they lie. A control whose Rego reads more of
its input than its metadata says, or whose messages could come out otherwise in another engine, is refused here.
I/O: reads the sources, runs opa in a throwaway folder, writes the compiled files.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from guardian.errors import GuardianError
from guardian.policy import bundle, rego
from guardian.policy.bundle import DISPATCH_NAME, Sources
from guardian.policy.metadata import SCOPES, Catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardian.policy.bundle import Bundle

POLICIES: Final = Path(__file__).resolve().parents[2] / "policies"
_DEADLINE_S: Final = 120.0


class BuildError(GuardianError):
    """The policies do not compile; the message is opa's, or names the control and what it may not do."""


def read_sources(folder: Path) -> Sources:
    """Return the Rego modules and params.yaml below `folder`, without tests and compiled files."""
    names = [(path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.rego"))]
    modules = {name: path.read_bytes() for path, name in names if bundle.is_module(name)}
    return Sources(modules, (folder / bundle.PARAMS_NAME).read_bytes())


def read_params(name: str, content: bytes) -> dict[str, Any]:
    """Return the defaults that a params.yaml states, by control. Raises BuildError naming it."""
    try:
        stated = YAML(typ="safe", pure=True).load(io.BytesIO(content))
    except (YAMLError, UnicodeDecodeError) as error:
        raise BuildError(f"{name}: {error}") from error
    if stated is None:
        return {}
    if not isinstance(stated, dict) or not all(isinstance(key, str) for key in stated):
        raise BuildError(f"{name}: expected a mapping of control ids to `mode` and `params`")
    return stated


def compile_sources(sources: Sources, opa: Path, *, known: Bundle | None = None) -> dict[str, bytes]:
    """Return the compiled files by name: module, manifest, and the dispatcher that was generated.

    known: a bundle that was compiled before; what was read off its sources is not read again where they are the same.
    Raises BuildError, and what `bundle.parse` raises for wrong metadata or defaults.
    """
    defaults = read_params(bundle.PARAMS_NAME, sources.params)
    with tempfile.TemporaryDirectory(prefix="guardian-policy-") as scratch:
        folder = Path(scratch) / "policies"
        lay_out(folder, sources.modules)
        entries = _entries(sources, opa, folder, known)
        allowed = Path(scratch) / "capabilities.json"
        allowed.write_bytes(_deterministic(run_opa(opa, ["capabilities", "--current"], folder)))
        run_opa(opa, ["check", "--strict", "--capabilities", str(allowed), "."], folder)
        try:
            dispatch = bundle.dispatcher(Catalogue.from_entries(entries, defaults))
        except (AttributeError, KeyError, TypeError) as error:
            raise BuildError(f"the metadata of a control, or its defaults, are malformed: {error!r}") from error
        (folder / DISPATCH_NAME).write_bytes(dispatch)
        wasm = build_wasm(opa, folder, [f"guardian/dispatch/{scope}" for scope in SCOPES])
    manifest = bundle.manifest_bytes(
        {
            "schema": bundle.SCHEMA,
            "opaVersion": opa_version(opa),
            "sourceDigest": sources.digest,
            "wasmDigest": hashlib.sha256(wasm).hexdigest(),
            "controls": entries,
            "defaults": defaults,
            "data": {},
        }
    )
    bundle.parse(manifest, wasm)
    return {bundle.WASM_NAME: wasm, bundle.MANIFEST_NAME: manifest, DISPATCH_NAME: dispatch}


def _entries(sources: Sources, opa: Path, folder: Path, known: Bundle | None) -> list[Mapping[str, Any]]:
    """Return the manifest entries of all controls; `opa parse` is asked about modules that `known` does not have."""
    seen: set[str] = set()
    entries: list[Mapping[str, Any]] = []
    if known is not None and known.sources.digest == known.source_digest:
        seen = {name for name, text in known.sources.modules.items() if sources.modules.get(name) == text}
        entries = [entry for entry in known.entries if "/".join(entry["package"][1:]) + ".rego" in seen]
    syntax = {name: _syntax(name, opa, folder) for name in sources.modules if name not in seen}
    return sorted([*entries, *_controls(syntax)], key=lambda entry: "/".join(entry["package"]))


def _syntax(name: str, opa: Path, folder: Path) -> Any:  # noqa: ANN401 -- a syntax tree as opa writes it
    try:
        return orjson.loads(run_opa(opa, ["parse", name, "--format", "json"], folder))
    except BuildError:
        run_opa(opa, ["check", name], folder)  # says the same, for people
        raise


def lay_out(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` by path below `folder`."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _deterministic(capabilities: str) -> bytes:
    """Return OPA's capabilities without the builtins by which a verdict could depend on more than its input."""
    stated = orjson.loads(capabilities)
    stated["builtins"] = [entry for entry in stated["builtins"] if not entry.get("nondeterministic")]
    return orjson.dumps(stated)


def _controls(syntax: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the manifest entries of the modules that are controls, and refuse what no module may do."""
    entries = []
    for name, module in sorted(syntax.items()):
        try:
            reads = rego.reads(module)
            rego.check_formats(module)
            rego.check_negation(module)
        except rego.RegoError as error:
            raise BuildError(f"{name}: {error}") from error
        package = [str(part["value"]) for part in module["package"]["path"]][1:]
        expected = "/".join(package[1:]) + ".rego" if package[0] == "guardian" else "no policy of Guardian"
        if name != expected:
            raise BuildError(f"{name}: package {'.'.join(package)} belongs in {expected}")
        if package[1] == "lib":
            if reads.keys or reads.kinds:
                raise BuildError(f"{name}: a library must be given what it needs; it reads input")
            continue
        annotations = [entry for entry in module.get("annotations", []) if entry.get("scope") == "package"]
        if len(annotations) != 1:
            raise BuildError(f"{name}: a control needs exactly one METADATA block with `scope: package`")
        # What every control is given says nothing about it; what else it reads, its metadata must name.
        special = sorted(reads.keys - {"resource", "resources", "params", "environment", "services"})
        entries.append(
            {"package": package, "annotations": annotations[0], "reads": special, "kinds": sorted(reads.kinds)}
        )
    return entries


def find_opa(command: Path | None) -> Path:
    """Return the opa program: `command`, else the one on PATH. Raises BuildError with how to get one."""
    found = shutil.which(command or "opa")
    if found is None:
        raise BuildError(
            f"there is no opa program {f'at {command}' if command else 'on PATH'}: install Open Policy Agent 1.20 or "
            "newer (https://www.openpolicyagent.org/docs#1-download-opa; Guardian's image has it), and put it on PATH "
            "as `opa` (an engine of type opa may name it as engine.command)"
        )
    return Path(found).absolute()


def build_wasm(opa: Path, folder: Path, entrypoints: Sequence[str]) -> bytes:
    """Return the module that `opa build -t wasm` makes of the Rego in `folder`. Raises BuildError."""
    named = [argument for entrypoint in entrypoints for argument in ("-e", entrypoint)]
    with tempfile.TemporaryDirectory(prefix="guardian-policy-") as scratch:
        built = Path(scratch) / "bundle.tar.gz"
        run_opa(opa, ["build", "-t", "wasm", *named, "-o", str(built), "."], folder)
        with tarfile.open(built) as archive:
            member = archive.extractfile("/policy.wasm")
            if member is None:
                raise BuildError("opa built a bundle without a module")
            return member.read()


def opa_version(opa: Path) -> str:
    """Return the version that `opa` says it is. Raises BuildError."""
    found = re.search(r"^Version: (\S+)$", run_opa(opa, ["version"], Path.cwd()), re.MULTILINE)
    if found is None:
        raise BuildError(f"{opa} does not tell its version; is it Open Policy Agent?")
    return found[1]


def run_opa(opa: Path, arguments: Sequence[str], folder: Path, *, codes: Sequence[int] = (0,)) -> str:
    """Run `opa` in `folder` and return what it prints. Raises BuildError with its words for an exit not in `codes`."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            [str(opa), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"cannot run {opa} {arguments[0]}: {error}") from error
    if done.returncode not in codes:
        raise BuildError(f"opa {arguments[0]} failed with exit {done.returncode}:\n{done.stderr or done.stdout}")
    return done.stdout


def stale(compiled: Mapping[str, bytes], folder: Path) -> list[str]:
    """Return what is wrong with the compiled files in `folder`, a line each; empty when they are as compiled."""
    problems = []
    for name, content in compiled.items():
        path = folder / name
        if not path.exists():
            problems.append(f"{name} is missing")
        elif path.read_bytes() != content:
            problems.append(f"{name} differs from what the sources compile to")
    stray = {path.name for path in folder.iterdir()} - set(compiled) if folder.is_dir() else set()
    return [*problems, *(f"{name} does not belong there" for name in sorted(stray))]


def main(arguments: Sequence[str]) -> int:
    """Compile, then write or compare. Returns the exit code: 0, 1 stale, 2 does not compile."""
    parser = argparse.ArgumentParser(prog="python -m guardian.policy.build", description=__doc__.split("\n")[0])
    parser.add_argument("--opa", type=Path, required=True, help="the opa program to compile with")
    parser.add_argument("--check", action="store_true", help="compare with what is there; write nothing")
    parser.add_argument("--policies", type=Path, default=POLICIES, help="the folder of sources (default: %(default)s)")
    given = parser.parse_args(arguments)
    target = given.policies / "compiled"
    try:
        compiled = compile_sources(read_sources(given.policies), given.opa.absolute())
    except GuardianError as error:
        sys.stderr.write(f"policies: {error}\n")
        return 2
    if given.check:
        problems = stale(compiled, target)
        if problems:
            opa = opa_version(given.opa.absolute())
            sys.stderr.write(f"policies/compiled is stale (compared with opa {opa}): {'; '.join(problems)}\n")
            sys.stderr.write("Run `make bundle` and commit policies/compiled.\n")
        return 1 if problems else 0
    target.mkdir(exist_ok=True)
    for name, content in compiled.items():
        (target / name).write_bytes(content)
    sys.stderr.write(f"policies: compiled {len(compiled[bundle.WASM_NAME])} bytes of WebAssembly into {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
