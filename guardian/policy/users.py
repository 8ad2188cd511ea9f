"""The controls that an environment is judged by: those that ship, and the users' own beside them.

Invariant: users' Rego adds controls and never changes one that ships: no file, package, id or default of those can be
stated again. What is returned is compiled of exactly the sources that its digest covers, whether now or earlier.
I/O: reads the users' folder, runs opa, keeps what it compiled in the user's cache folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from guardian.errors import ConfigError, GuardianError
from guardian.policy import build, bundle, compiled_cache
from guardian.policy.bundle import PARAMS_NAME, Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardian.policy.bundle import Bundle
    from guardian.settings import Settings

FILE_BYTES: Final = 1024 * 1024
FILES: Final = 500
_DEPTH: Final = 4
_RESERVED: Final = frozenset({"bundle", "compiled", "dispatch"})  # guardian.bundle and guardian.dispatch are generated
_PLACE: Final = re.compile(r"([a-z][a-z0-9_]*)/[a-z][a-z0-9_]*\.rego")


def load(settings: Settings) -> Bundle:
    """Return the controls that `settings` ask for.

    Raises ConfigError naming file and, where opa gives it, line for users' Rego that cannot be taken; BuildError where
    there is no opa to compile it; BundleError, MetadataError.
    """
    shipped = bundle.load()
    if settings.policies is None:
        return shipped
    users = read(settings.policies)
    sources = merged(shipped.sources, users, settings.policies)
    opa = build.find_opa(settings.engine.command)
    version = build.opa_version(opa)
    known = compiled_cache.recall(sources, version)
    if known is not None:
        return known
    try:
        compiled = build.compile_sources(sources, opa, known=shipped)
    except GuardianError as error:
        raise ConfigError(f"the policies in {settings.policies} cannot be used: {error}") from error
    compiled_cache.keep(sources, version, compiled)
    return bundle.parse(compiled[bundle.MANIFEST_NAME], compiled[bundle.WASM_NAME], sources)


def read(folder: Path, *, tests: bool = False) -> Sources:
    """Return the users' Rego modules and defaults below `folder`; with `tests`, their tests among the modules.

    Raises ConfigError naming the file for one that may not be there, cannot be read, or is larger than any policy.
    """
    if not folder.is_dir():
        raise ConfigError(f"policies.folder: {folder} is not a folder")
    modules: dict[str, bytes] = {}
    for name in _files(folder):
        place = _PLACE.fullmatch(name)
        if place is None or place[1] in _RESERVED:
            raise ConfigError(
                f"{folder / name}: a control of yours belongs in <family>/<name>.rego (package "
                "guardian.<family>.<name>), a library in lib/<name>.rego; names are of a-z, 0-9 and _, no family is "
                f"called {', '.join(sorted(_RESERVED))}"
            )
        if tests or not name.endswith("_test.rego"):
            modules[name] = _content(folder / name)
        if len(modules) > FILES:
            raise ConfigError(f"{folder}: more than {FILES} Rego files")
    if not modules:
        raise ConfigError(f"policies.folder: {folder} has no Rego in it; put a control there, or leave `policies` out")
    params = folder / PARAMS_NAME
    return Sources(modules, _content(params) if params.exists() else b"")


def merged(shipped: Sources, users: Sources, folder: Path) -> Sources:
    """Return both together. Raises ConfigError for what states again what ships."""
    for name in sorted(users.modules.keys() & shipped.modules.keys()):
        raise ConfigError(
            f"{folder / name}: this control or library ships with Guardian and cannot be replaced; give yours another "
            "name, and turn the other off in guardian.yaml if you must"
        )
    defaults = build.read_params(PARAMS_NAME, shipped.params)
    try:
        own = build.read_params(str(folder / PARAMS_NAME), users.params)
    except GuardianError as error:
        raise ConfigError(str(error)) from error
    for control in sorted(own.keys() & defaults.keys()):
        raise ConfigError(
            f"{folder / PARAMS_NAME}: {control} ships with Guardian; change its mode and parameters in guardian.yaml, "
            f"under controls.{control}"
        )
    _need_defaults(users, own, folder)
    try:
        params = orjson.dumps({**defaults, **own}, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise ConfigError(f"{folder / PARAMS_NAME}: {error}") from error
    return Sources({**shipped.modules, **users.modules}, params)


def _need_defaults(users: Sources, own: Mapping[str, object], folder: Path) -> None:
    """Say early, and with an example, that a control has no defaults."""
    stated = {control.replace("-", "_") for control in own}
    for name in sorted(users.modules):
        control = name.removesuffix(".rego").replace("/", ".")
        if not name.startswith("lib/") and control not in stated:
            raise ConfigError(
                f"{folder / PARAMS_NAME} states no defaults for {folder / name}; put there, under its id:\n"
                f"{control.replace('_', '-')}:\n"
                "  mode: {production: audit, staging: audit, development: audit, other: audit}\n"
                "  params: {}"
            )


def _files(folder: Path) -> Iterator[str]:
    """Yield every Rego file below `folder`, by path. Links are followed, as mounted ConfigMaps need, but not hidden."""
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if len(here.parts) < _DEPTH else []
        yield from sorted((here / name).as_posix() for name in names if name.endswith(".rego") and name[0] != ".")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > FILE_BYTES:
        raise ConfigError(f"{path} is larger than {FILE_BYTES} bytes, which no policy is")
    return content
