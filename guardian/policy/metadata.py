"""What every control says of itself, and what it does here: metadata, modes and parameters. No I/O.

Invariant: a Catalogue holds only controls whose metadata is complete and true: a control that reads `input.now` without
saying so, or a kind it does not name among its inputs, is refused when the catalogue is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from guardian.errors import ConfigError, GuardianError
from guardian.model import Mode, Severity, Tier
from guardian.policy.params import STRICTEST, Parameter, Table, parse_defaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardian.settings import Settings

SCOPES: Final = ("resource", "snapshot")
STAGES: Final = ("audit", "admission")
USES: Final = ("incomplete", "now", "request")
FRAMEWORKS: Final = ("nist-800-53r5", "iso-27001-2022", "soc2", "pci-dss-v4", "dora", "nis2")
_REQUIRED: Final = ("id", "scope", "severity", "remediation", "inputs", "frameworks", "stages", "uses")


class MetadataError(GuardianError):
    """A control's metadata is missing, malformed or untrue; the message names the control and the field."""


@dataclass(frozen=True, slots=True)
class Control:
    """One requirement.

    inputs: resource kinds it reads; judges: those of them whose resources get a verdict, the others are context.
    uses: what besides resources and params it reads of its input (`now`, `request`, `incomplete`).
    """

    id: str
    title: str
    description: str
    remediation: str
    related_resources: Sequence[Mapping[str, str]]
    scope: str
    severity: Severity
    inputs: Sequence[str]
    judges: Sequence[str]
    frameworks: Mapping[str, Sequence[str]]
    stages: Sequence[str]
    uses: Sequence[str]
    modes: Table
    parameters: Mapping[str, Parameter]

    def describe(self) -> dict[str, Any]:
        """Return the control as JSON for people and catalogues."""
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "remediation": self.remediation,
            "relatedResources": [dict(entry) for entry in self.related_resources],
            "scope": self.scope,
            "severity": self.severity.value,
            "inputs": list(self.inputs),
            "judges": list(self.judges),
            "frameworks": {name: list(clauses) for name, clauses in self.frameworks.items()},
            "stages": list(self.stages),
            "params": {name: {"type": entry.type, "about": entry.about} for name, entry in self.parameters.items()},
        }


def package_of(control_id: str) -> tuple[str, ...]:
    """Return the Rego package path of a control: `backup.restore-tested` -> guardian, backup, restore_tested."""
    return ("guardian", *control_id.replace("-", "_").split("."))


def control_from(entry: Mapping[str, Any], defaults: object) -> Control:
    """Return the control that a manifest entry describes: package, annotations, and what its Rego was seen to read.

    Raises MetadataError, or ConfigError for its defaults in params.yaml.
    """
    annotations = entry["annotations"]
    custom = annotations.get("custom", {})
    name = str(custom.get("id") or ".".join(entry["package"]))

    def need(condition: object, what: str) -> None:
        if not condition:
            raise MetadataError(f"control {name}: {what}")

    for key in ("title", "description", "related_resources"):
        need(annotations.get(key), f"the annotation `{key}` is missing")
    for key in _REQUIRED:
        need(key in custom, f"the annotation `custom.{key}` is missing")
    need(set(custom) <= {*_REQUIRED, "judges"}, f"unknown custom annotations {sorted(set(custom) - {*_REQUIRED})}")
    need(tuple(entry["package"]) == package_of(name), f"its package must be {'.'.join(package_of(name))}")
    need(re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+(-[a-z0-9]+)*)+", name), "its id must look like `backup.restore-tested`")
    need(custom["scope"] in SCOPES, f"scope must be one of {SCOPES}")
    need(custom["severity"] in set(Severity), f"severity must be one of {[level.value for level in Severity]}")
    need(custom["stages"] and set(custom["stages"]) <= set(STAGES), f"stages must be some of {STAGES}")
    need(set(custom["uses"]) <= set(USES), f"uses must be some of {USES}")
    need(isinstance(custom["remediation"], str) and custom["remediation"].strip(), "remediation must say what to do")
    need(custom["frameworks"] and set(custom["frameworks"]) <= set(FRAMEWORKS), f"frameworks are {FRAMEWORKS}")
    need(all(custom["frameworks"].values()), "a framework without clauses says nothing")
    need(custom["inputs"], "inputs must name the resource kinds it reads")
    need((custom["scope"] == "snapshot") == ("judges" in custom), "snapshot scope, and only it, needs `custom.judges`")
    judges = custom.get("judges", custom["inputs"])
    need(judges and set(judges) <= set(custom["inputs"]), "judges must be some of its inputs")
    need(
        sorted(custom["uses"]) == sorted(entry["reads"]),
        f"uses says {sorted(custom['uses'])}, but its Rego reads {sorted(entry['reads'])} of input",
    )
    stray = set(entry["kinds"]) - set(custom["inputs"])
    need(not stray, f"its Rego reads kinds that inputs does not name: {sorted(stray)}")
    modes, parameters = parse_defaults(name, defaults)
    return Control(
        id=name,
        title=annotations["title"],
        description=annotations["description"].strip(),
        remediation=custom["remediation"].strip(),
        related_resources=annotations["related_resources"],
        scope=custom["scope"],
        severity=Severity(custom["severity"]),
        inputs=tuple(custom["inputs"]),
        judges=tuple(judges),
        frameworks=custom["frameworks"],
        stages=tuple(custom["stages"]),
        uses=tuple(custom["uses"]),
        modes=modes,
        parameters=parameters,
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """What one control does to resources of one tier here: its mode, and its parameters as the policy reads them."""

    mode: Mode
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All controls of a bundle, by id in order."""

    controls: Mapping[str, Control]

    @classmethod
    def from_entries(cls, entries: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any]) -> Catalogue:
        """Return the catalogue of a manifest's controls. Raises MetadataError, ConfigError."""
        controls: dict[str, Control] = {}
        for entry in entries:
            custom = entry["annotations"].get("custom", {})
            control = control_from(entry, defaults.get(str(custom.get("id"))))
            if control.id in controls:
                raise MetadataError(f"control {control.id} is there twice")
            controls[control.id] = control
        stray = set(defaults) - set(controls)
        if stray:
            raise MetadataError(f"params.yaml names controls that do not exist: {sorted(stray)}")
        return cls(dict(sorted(controls.items())))

    def __len__(self) -> int:
        return len(self.controls)

    def of_resources(self, kind: str, stage: str) -> list[Control]:
        """Return the resource-scoped controls of `stage` that judge `kind`, whatever their mode, by id."""
        return [
            control
            for control in self.controls.values()
            if control.scope == "resource" and stage in control.stages and kind in control.judges
        ]

    def describe(self) -> Mapping[str, Mapping[str, Any]]:
        """Return every control as JSON, by id."""
        return {name: control.describe() for name, control in self.controls.items()}

    def check(self, settings: Settings) -> None:
        """Refuse what guardian.yaml says of controls and parameters that do not exist, or with values of a wrong type.

        Raises ConfigError with one line a mistake, naming control, parameter and the nearest known name.
        """
        problems = []
        for name, stated in settings.controls.items():
            control = self.controls.get(name)
            if control is None:
                problems.append(f"{stated.where}controls.{name}: no such control{_nearest(name, self.controls)}")
                continue
            for key, value in stated.params.items():
                where = f"{stated.where}controls.{name}.params.{key}"
                parameter = control.parameters.get(key)
                if parameter is None:
                    problems.append(f"{where}: no such parameter{_nearest(key, control.parameters)}")
                    continue
                try:
                    parameter.override(value)
                except ValueError as error:
                    problems.append(f"{where}: {error}")
        if problems:
            raise ConfigError("\n".join(problems))

    def resolve(self, control: Control, tier: Tier | None, environment: str, settings: Settings) -> Resolved:
        """Return mode and parameters for resources of `tier` (None: the strictest), guardian.yaml before the defaults.

        The settings have passed `check`.
        """
        tier = tier or STRICTEST
        mode: Mode = control.modes.at(environment, tier)
        params = {name: entry.defaults.at(environment, tier) for name, entry in control.parameters.items()}
        stated = settings.controls.get(control.id)
        if stated is not None:
            mode = stated.mode.get(tier, stated.mode.get(None, mode))
            for name, value in stated.params.items():
                params[name] = control.parameters[name].override(value).get(tier, params[name])
        return Resolved(mode, params)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(names)}" if names else "; it has none"
