package guardian.recovery.rto_test

import future.keywords.not

import data.guardian.recovery.rto

asset(changes) := {
	"kind": "guardian.Asset",
	"id": "declared:production/asset/erp",
	"attributes": object.union({"name": "erp", "service": "erp-plant1", "rtoSeconds": 3600}, changes),
}

measured := {
	"asset": "erp",
	"backupId": "b",
	"recordId": "r",
	"logIndex": 7,
	"ageSeconds": 3600,
	"verdict": "pass",
	"restoreSeconds": 600.5,
	"estimatedRtoSeconds": 1800.5,
}

drill(changes) := {
	"kind": "guardian.Drill",
	"id": "records:production/drill/r",
	"attributes": object.union(measured, changes),
}

document(one_asset, drills, incomplete) := {
	"resources": {"guardian.Asset": [one_asset], "guardian.Drill": drills},
	"params": {one_asset.id: {}},
	"incomplete": incomplete,
}

found(one_asset, drills) := findings if {
	findings := rto.findings with input as document(one_asset, drills, [])
}

verdicts(one_asset, drills) := [finding.verdict | some finding in found(one_asset, drills)]

test_estimate_within_the_objective_passes if {
	verdicts(asset({}), [drill({})]) == []
	verdicts(asset({}), [drill({"estimatedRtoSeconds": 3600})]) == []
}

test_estimate_beyond_the_objective_fails_calls_it_one_and_shows_its_parts if {
	some finding in found(asset({}), [drill({"restoreSeconds": 3000, "estimatedRtoSeconds": 4200})])
	finding.verdict == "fail"
	contains(finding.message, "the estimated recovery time of asset erp is 1 h 10 min, the RTO is 1 h")
	contains(finding.message, "It is an estimate: 50 min measured for the restore, 20 min declared")
	finding.observed.declaredSeconds == 1200
}

test_restore_that_became_slower_is_told if {
	some finding in found(asset({}), [drill({"estimatedRtoSeconds": 4200, "restoreRegression": 2.5})])
	contains(finding.message, "measured for the restore (2.5 times what earlier drills let expect), ")
}

test_newest_measured_drill_counts if {
	slow := drill({"ageSeconds": 60, "estimatedRtoSeconds": 9000})
	verdicts(asset({}), [drill({}), slow]) == ["fail"]
	verdicts(asset({}), [slow, drill({"ageSeconds": 30})]) == []
}

test_drill_that_never_restored_measures_nothing if {
	cut := drill({"ageSeconds": 60, "verdict": "fail", "restoreSeconds": null, "estimatedRtoSeconds": null})
	verdicts(asset({}), [cut, drill({})]) == []
	some finding in found(asset({}), [cut])
	finding.verdict == "error"
	contains(finding.message, "not known")
}

test_no_drill_at_all_is_not_known if verdicts(asset({}), []) == ["error"]

test_asset_without_objective_is_passed_over_with_the_reason if {
	some finding in found(asset({"rtoSeconds": null}), [drill({})])
	finding.verdict == "skip"
	contains(finding.message, "service erp-plant1 declares no RTO")
}

test_unreadable_records_are_an_error if {
	some finding in rto.findings with input as document(asset({}), [drill({})], ["guardian.Drill"])
	finding.verdict == "error"
}

test_drill_from_the_future_is_an_error if verdicts(asset({}), [drill({"ageSeconds": -301})]) == ["error"]

test_missing_or_impossible_facts_are_errors if {
	every change in [
		{"restoreSeconds": "600"},
		{"estimatedRtoSeconds": null},
		{"estimatedRtoSeconds": 600},
		{"restoreSeconds": -1},
		{"asset": null},
		{"ageSeconds": null},
	] {
		verdicts(asset({}), [drill(change)]) == ["error"]
	}
	verdicts(asset({"rtoSeconds": "1h"}), [drill({})]) == ["error"]
	verdicts(asset({"name": null}), [drill({})]) == ["error"]
}
