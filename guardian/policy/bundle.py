"""The compiled controls as shipped: WebAssembly, metadata, defaults and data, read once and checked.

Invariant: a Bundle's module is the one its manifest names by digest, and its own digest covers module, metadata,
parameters and data; so a verdict that names the digest names everything but the input. Reads package data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import orjson

from guardian.errors import GuardianError
from guardian.policy.metadata import Catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: Final = "guardian/bundle/v1"
WASM_NAME: Final = "policy.wasm"
MANIFEST_NAME: Final = "manifest.json"


class BundleError(GuardianError):
    """The compiled policies are missing, damaged or of another format; the message says how to get them right."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Compiled controls. digest: SHA-256 of the manifest, hex; the manifest holds that of the module."""

    wasm: bytes
    data: bytes
    digest: str
    catalogue: Catalogue
    opa_version: str
    source_digest: str


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return the one form in which a manifest is written: sorted keys, indented, a newline at the end."""
    return orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def parse(manifest_file: bytes, wasm: bytes) -> Bundle:
    """Return the bundle of a manifest and its module.

    Raises BundleError if they do not belong together, MetadataError or ConfigError if a control's metadata or defaults
    are wrong.
    """
    try:
        manifest = orjson.loads(manifest_file)
    except orjson.JSONDecodeError as error:
        raise BundleError(f"the manifest of the compiled policies is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise BundleError(f"the compiled policies are not of the format {SCHEMA}; compile them again")
    found = hashlib.sha256(wasm).hexdigest()
    if manifest.get("wasmDigest") != found:
        raise BundleError(
            f"the compiled policies are damaged: {WASM_NAME} has SHA-256 {found}, "
            f"its manifest says {manifest.get('wasmDigest')}; install guardian-engine again"
        )
    try:
        catalogue = Catalogue.from_entries(manifest["controls"], manifest["defaults"])
        return Bundle(
            wasm=wasm,
            data=orjson.dumps(manifest["data"]),
            digest=hashlib.sha256(manifest_file).hexdigest(),
            catalogue=catalogue,
            opa_version=manifest["opaVersion"],
            source_digest=manifest["sourceDigest"],
        )
    except KeyError as error:
        raise BundleError(f"the manifest of the compiled policies lacks {error}; compile them again") from error


def load() -> Bundle:
    """Return the bundle that ships with Guardian. Raises BundleError, MetadataError, ConfigError."""
    folder = resources.files("policies") / "compiled"
    try:
        return parse((folder / MANIFEST_NAME).read_bytes(), (folder / WASM_NAME).read_bytes())
    except OSError as error:
        raise BundleError(f"the compiled policies are not there ({error}); install guardian-engine again") from error
