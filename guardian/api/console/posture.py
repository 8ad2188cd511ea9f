"""How the services stand, worked out before the template sees it. Pure.

Invariant: no headline and no card is better than the worst thing behind it; what was not checked is never a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardian.model import Assurance, Verdict
from guardian.reports import words
from guardian.reports.view import Headline, Objective, objective

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORST_FIRST: Final = (Verdict.FAIL, Verdict.ERROR, Verdict.SKIP, Verdict.PASS)
_SEVERITIES: Final = ("critical", "high", "medium", "low")
_STATES: Final = ("beyond", "unknown", "moot", "within")


@dataclass(frozen=True, slots=True)
class AssetView:
    """One asset with its newest drill held against the objectives; drill: None if it was never drilled."""

    asset: Mapping[str, Any]
    drill: Mapping[str, Any] | None
    verdict: Verdict
    reached: Assurance | None
    rto: Objective
    rpo: Objective


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service. counts: its controls by verdict; weakest: the least assurance of its assets, None if any has none.

    rto, rpo: the worst of its assets. families: the worst verdict of each family of controls, with its counts.
    """

    service: Mapping[str, Any]
    verdict: Verdict
    reasons: Sequence[str]
    counts: Mapping[Verdict, int]
    assets: Sequence[AssetView]
    weakest: Assurance | None
    rto: Objective
    rpo: Objective
    families: Mapping[str, tuple[Verdict, Mapping[Verdict, int]]]

    @property
    def passed(self) -> int:
        """How many assets passed their newest drill."""
        return sum(asset.verdict is Verdict.PASS for asset in self.assets)


def service_view(service: Mapping[str, Any]) -> ServiceView:
    """Return one SERVICE of `Reading` as the pages show it."""
    objectives = service["objectives"]
    assets = [_asset(asset, objectives) for asset in service["assets"]]
    controls = service["controls"]
    verdicts = [Verdict(service["verdict"]), *(asset.verdict for asset in assets)]
    verdicts += [Verdict(control["verdict"]) for control in controls if control["verdict"] != Verdict.SKIP]
    reasons = _reasons(service, assets)
    if reasons:
        verdicts.append(Verdict.ERROR)
    if any("beyond" in (asset.rto.state, asset.rpo.state) for asset in assets):
        verdicts.append(Verdict.FAIL)
    families: dict[str, list[Verdict]] = {}
    for control in controls:
        families.setdefault(control["control"].partition(".")[0], []).append(Verdict(control["verdict"]))
    reached = [asset.reached for asset in assets]
    return ServiceView(
        service=service,
        verdict=worst(verdicts),
        reasons=reasons,
        counts=_counted([Verdict(control["verdict"]) for control in controls]),
        assets=assets,
        weakest=min((one for one in reached if one), key=lambda one: one.rank) if reached and all(reached) else None,
        rto=_worst_objective([asset.rto for asset in assets], objectives["rtoSeconds"]),
        rpo=_worst_objective([asset.rpo for asset in assets], objectives["rpoSeconds"]),
        families={name: (worst(found), _counted(found)) for name, found in sorted(families.items())},
    )


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst of the verdicts; of none, that nothing could be checked."""
    return next((verdict for verdict in WORST_FIRST if verdict in verdicts), Verdict.ERROR)


def headline(services: Sequence[ServiceView]) -> Headline:
    """Return the worst verdict of all services, and what it means in a few sentences."""
    if not services:
        return Headline(Verdict.ERROR, "Nothing is known", ["No service that you may see is declared."])
    assets = [asset for one in services for asset in one.assets]
    passed = [asset for asset in assets if asset.verdict is Verdict.PASS]
    failed = [asset.asset["name"] for asset in assets if asset.verdict is Verdict.FAIL]
    undrilled = [asset.asset["name"] for asset in assets if asset.drill is None]
    unclear = [asset.asset["name"] for asset in assets if asset.drill and asset.verdict is Verdict.ERROR]
    controls = _counted([Verdict(c["verdict"]) for one in services for c in one.service["controls"]])
    judged = sum(count for verdict, count in controls.items() if verdict is not Verdict.SKIP)
    said = [f"{len(passed)} of {words.counted(len(assets), 'asset')} passed the newest drill."] if assets else []
    if failed:
        said.append(f"Do not rely on the newest backup of {words.listed(failed)}: take a new one, and drill it.")
    if unclear:
        said.append(f"Whether {words.listed(unclear)} can be restored is not known: the drill could not finish.")
    if undrilled:
        said.append(f"Never drilled: {words.listed(undrilled)}. Whether those backups restore is not known.")
    late = [asset.asset["name"] for asset in assets if asset.rto.state == "beyond"]
    lost = [asset.asset["name"] for asset in assets if asset.rpo.state == "beyond"]
    if late:
        said.append(f"Recovery would take longer than the objective: {words.listed(late)}.")
    if lost:
        said.append(f"More would be lost than the objective allows: {words.listed(lost)}.")
    if judged:
        each = "" if len(services) == 1 else f" over {len(services)} services"
        said.append(
            f"{words.counted(judged, 'control')} judged{each}: {controls[Verdict.PASS]} without violation, "
            f"{controls[Verdict.FAIL]} violated, {controls[Verdict.ERROR]} could not be checked."
        )
    else:
        said.append("The newest scan judged nothing here, so no control is known to hold.")
    verdict = worst([one.verdict for one in services])
    titles = {Verdict.FAIL: "Action is needed", Verdict.PASS: "Everything that was checked passed"}
    shown = verdict if verdict in titles else Verdict.ERROR
    return Headline(shown, titles.get(shown, "Not everything could be checked"), said)


def controls_by_family(
    service: Mapping[str, Any], catalogue: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, Verdict, list[tuple[Mapping[str, Any], Mapping[str, Any]]]]]:
    """Return (family, its worst verdict, [(control, what the catalogue says of it)]), worst and most severe first."""
    families: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for control in service["controls"]:
        entry = (control, catalogue.get(control["control"], {}))
        families.setdefault(control["control"].partition(".")[0], []).append(entry)
    found = []
    for name, entries in families.items():
        entries.sort(key=lambda entry: _order(entry[0]))
        found.append((name, worst([Verdict(entry[0]["verdict"]) for entry in entries]), entries))
    return sorted(found, key=lambda family: (WORST_FIRST.index(family[1]), family[0]))


def drill_objectives(drill: Mapping[str, Any]) -> tuple[Objective, Objective]:
    """Return recovery time and data loss of one DRILL against the objectives recorded with it."""
    verdict, goals = Verdict(drill["verdict"]), drill["objectives"]
    return (
        objective(drill["estimatedRtoSeconds"], goals["rtoSeconds"], verdict),
        objective(drill["rpoSeconds"], goals["rpoSeconds"], verdict),
    )


def assurance_of(text: str | None) -> Assurance | None:
    """Return an assurance from a record, None for none or an unknown one."""
    return Assurance(text) if text in set(Assurance) else None


def _asset(asset: Mapping[str, Any], objectives: Mapping[str, Any]) -> AssetView:
    drill = asset["drill"]
    if drill is None:
        rto, rpo = (objective(None, objectives[name], Verdict.ERROR) for name in ("rtoSeconds", "rpoSeconds"))
        return AssetView(asset, None, Verdict.ERROR, None, rto, rpo)
    rto, rpo = drill_objectives(drill)
    return AssetView(asset, drill, Verdict(drill["verdict"]), assurance_of(drill["assurance"]), rto, rpo)


def _reasons(service: Mapping[str, Any], assets: Sequence[AssetView]) -> list[str]:
    """Return why the whole of a service is not known, in sentences; empty if it is."""
    reasons = [service["reason"]] if service.get("reason") else []
    if not service["controls"] and not reasons:
        reasons.append("No scan has judged this service yet.")
    undrilled = [asset.asset["name"] for asset in assets if asset.drill is None]
    if undrilled and not any("never" in reason for reason in reasons):
        reasons.append(f"Never drilled: {words.listed(undrilled)}.")
    return [reason[0].upper() + reason[1:] for reason in reasons]


def _worst_objective(found: Sequence[Objective], goal: float | None) -> Objective:
    if not found:
        return objective(None, goal, Verdict.ERROR)
    return min(found, key=lambda one: (_STATES.index(one.state), -(one.share or 0)))


def _counted(verdicts: Sequence[Verdict]) -> dict[Verdict, int]:
    return {verdict: sum(one is verdict for one in verdicts) for verdict in Verdict}


def _order(control: Mapping[str, Any]) -> tuple[int, int, str]:
    severity = control.get("severity")
    rank = _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
    return WORST_FIRST.index(Verdict(control["verdict"])), rank, control["control"]
