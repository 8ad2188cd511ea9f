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
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from ruamel.yaml import YAML

from guardian.errors import GuardianError
from guardian.policy import bundle, rego
from guardian.policy.metadata import SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLICIES: Final = Path(__file__).resolve().parents[2] / "policies"
DISPATCH_NAME: Final = "dispatch.rego"
_DEADLINE_S: Final = 120.0


class BuildError(GuardianError):
    """The policies do not compile; the message is opa's, or names the control and what it may not do."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that is compiled. modules: Rego text by path relative to the folder, without tests; params: YAML."""

    modules: Mapping[str, bytes]
    params: bytes

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents, hex."""
        total = hashlib.sha256()
        for name, content in sorted({**self.modules, "params.yaml": self.params}.items()):
            total.update(f"{name}\0{len(content)}\0".encode() + content)
        return total.hexdigest()


def read_sources(folder: Path) -> Sources:
    """Return the Rego modules and params.yaml below `folder`, without tests and compiled files."""
    modules = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.rego"))
        if not path.name.endswith("_test.rego") and path.relative_to(folder).parts[0] != "compiled"
    }
    return Sources(modules, (folder / "params.yaml").read_bytes())


def compile_sources(sources: Sources, opa: Path) -> dict[str, bytes]:
    """Return the compiled files by name: module, manifest, and the dispatcher that was generated.

    Raises BuildError, and what `bundle.parse` raises for wrong metadata or defaults.
    """
    with tempfile.TemporaryDirectory(prefix="guardian-policy-") as scratch:
        folder = Path(scratch)
        for name, content in sources.modules.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        syntax = {
            name: orjson.loads(run_opa(opa, ["parse", name, "--format", "json"], folder)) for name in sources.modules
        }
        entries = _controls(syntax)
        dispatch = dispatcher(entries)
        (folder / DISPATCH_NAME).write_text(dispatch, encoding="utf-8")
        run_opa(opa, ["check", "--strict", "."], folder)
        wasm = build_wasm(opa, folder, [f"guardian/dispatch/{scope}" for scope in SCOPES])
    manifest = bundle.manifest_bytes(
        {
            "schema": bundle.SCHEMA,
            "opaVersion": opa_version(opa),
            "sourceDigest": sources.digest,
            "wasmDigest": hashlib.sha256(wasm).hexdigest(),
            "controls": entries,
            "defaults": YAML(typ="safe", pure=True).load(io.BytesIO(sources.params)),
            "data": {},
        }
    )
    bundle.parse(manifest, wasm)  # metadata and defaults are complete, or nothing is written
    return {bundle.WASM_NAME: wasm, bundle.MANIFEST_NAME: manifest, DISPATCH_NAME: dispatch.encode()}


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
        package = [part["value"] for part in module["package"]["path"]][1:]
        if package[:2] == ["guardian", "lib"]:
            if reads.keys or reads.kinds:
                raise BuildError(f"{name}: a library must be given what it needs; it reads input")
            continue
        annotations = [entry for entry in module.get("annotations", []) if entry.get("scope") == "package"]
        if len(annotations) != 1:
            raise BuildError(f"{name}: a control needs exactly one METADATA block with `scope: package`")
        expected = "/".join(package[1:]) + ".rego"
        if name != expected:
            raise BuildError(f"{name}: package {'.'.join(package)} belongs in {expected}")
        # What every control is given says nothing about it; what else it reads, its metadata must name.
        special = sorted(reads.keys - {"resource", "resources", "params", "environment", "services"})
        entries.append(
            {"package": package, "annotations": annotations[0], "reads": special, "kinds": sorted(reads.kinds)}
        )
    return entries


def dispatcher(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the Rego that judges one input by all the controls asked for: one rule a control, so that none depends
    on another.
    """
    rules = []
    for entry in sorted(entries, key=lambda entry: str(entry["annotations"]["custom"]["id"])):
        custom = entry["annotations"]["custom"]
        package = ".".join(["data", *entry["package"]])
        answer = f'"findings": {package}.findings'
        if custom["scope"] == "snapshot":
            answer += f', "judged": {package}.judged'
        rules.append(
            f'{custom["scope"]}["{custom["id"]}"] := answer if {{\n'
            f'\tparams := input.controls["{custom["id"]}"]\n'
            f"\tanswer := {{{answer}}} with input.params as params\n"
            "}\n"
        )
    head = "# Generated by guardian.policy.build: the entry points of the compiled policies, one for each scope.\n"
    return head + "package guardian.dispatch\n\n" + "\n".join(rules)


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


def run_opa(opa: Path, arguments: Sequence[str], folder: Path) -> str:
    """Run `opa` in `folder` and return what it prints. Raises BuildError with what it complains of."""
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
    if done.returncode != 0:
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
