"""The controls for people: listed, shown, tested, and packed for an OPA server; the bundled ones and the users' own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from guardian.errors import UsageError
from guardian.model import Tier
from guardian.policy import build, users
from guardian.policy import bundle as bundles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardian.policy.bundle import Bundle
    from guardian.settings import Settings


def describe(settings: Settings | None = None) -> dict[str, dict[str, Any]]:
    """Return the metadata of every control by id: the bundled ones, and the users' own if `settings` name a folder."""
    return {name: dict(control) for name, control in _bundle(settings).catalogue.describe().items()}


def modes(settings: Settings) -> dict[str, dict[str, str]]:
    """Return what each control does here, by id: `{tier: mode}`."""
    catalogue = users.load(settings).catalogue
    return {
        name: {tier.value: catalogue.resolve(control, tier, settings.environment, settings).mode.value for tier in Tier}
        for name, control in catalogue.controls.items()
    }


def show(control: str, settings: Settings | None = None) -> dict[str, Any]:
    """Return one control's metadata. Raises UsageError naming the nearest id if there is none."""
    controls = describe(settings)
    if control not in controls:
        near = get_close_matches(control, controls, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(controls)}"
        raise UsageError(f"no control {control!r}{hint}")
    return controls[control]


@dataclass(frozen=True, slots=True)
class RegoTest:
    """One test and how it ended. place: `file:line`. reason: empty for a test that passed."""

    name: str
    place: str
    reason: str


def run_tests(settings: Settings | None, *, bundled: bool) -> Sequence[RegoTest]:
    """Run the tests beside the users' controls with `opa test`; with `bundled`, those that ship too.

    Raises UsageError where there is nothing to test, BuildError where there is no opa or the Rego does not compile.
    """
    folder = settings.policies if settings else None
    if folder is None and not bundled:
        raise UsageError(
            "guardian.yaml names no folder of your own policies; set `policies: {folder: PATH}`, or test the bundled "
            "ones with --all"
        )
    opa = build.find_opa(settings.engine.command if settings else None)
    sources = bundles.load().sources
    files = dict(bundles.tests() if bundled else {}) | dict(sources.modules)
    if folder is not None:
        users.merged(sources, users.read(folder), folder)
        files |= users.read(folder, tests=True).modules
    with tempfile.TemporaryDirectory(prefix="guardian-policy-") as scratch:
        build.lay_out(Path(scratch), files)
        found = build.run_opa(opa, ["test", "--format", "json", "."], Path(scratch), codes=(0, 2))
    return [_test(entry) for entry in orjson.loads(found) or []]


def _test(entry: dict[str, Any]) -> RegoTest:
    where = entry.get("location", {})
    failed = "failed" if entry.get("fail") else "not run: it is marked as to do" if entry.get("skip") else ""
    error = entry.get("error")
    reason = f"error: {error.get('message', error) if isinstance(error, dict) else error}" if error else failed
    name = f"{entry['package'].removeprefix('data.')}.{entry['name']}"
    return RegoTest(name, f"{where.get('file', '?')}:{where.get('row', '?')}", reason)


def pack(settings: Settings | None) -> tuple[bytes, str]:
    """Return the controls as a bundle for an OPA server, and the digest by which the opa engine knows them."""
    bundle = _bundle(settings)
    return bundle.opa_bundle(), bundle.digest


def _bundle(settings: Settings | None) -> Bundle:
    return users.load(settings) if settings else bundles.load()
