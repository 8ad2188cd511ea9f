package guardian.recovery.rpo_test

import future.keywords.not

import data.guardian.recovery.rpo

asset(changes) := {
	"kind": "guardian.Asset",
	"id": "declared:production/asset/erp",
	"attributes": object.union({"name": "erp", "service": "erp-plant1", "rpoSeconds": 86400}, changes),
}

measured := {
	"asset": "erp",
	"backupId": "b",
	"recordId": "r",
	"logIndex": 7,
	"ageSeconds": 3600,
	"verdict": "pass",
	"rpoSeconds": 7200,
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
	findings := rpo.findings with input as document(one_asset, drills, [])
}

verdicts(one_asset, drills) := [finding.verdict | some finding in found(one_asset, drills)]

test_loss_within_the_objective_passes if {
	verdicts(asset({}), [drill({})]) == []
	verdicts(asset({}), [drill({"rpoSeconds": 86400})]) == []
}

test_loss_beyond_the_objective_fails_and_says_what_was_measured if {
	some finding in found(asset({}), [drill({"rpoSeconds": 90000})])
	finding.verdict == "fail"
	contains(finding.message, "would have lost at least 1 d 1 h of data, the RPO is 1 d: so old was backup b when")
	finding.observed == {"recordId": "r", "backupId": "b", "rpoSeconds": 90000, "verdict": "pass"}
}

test_newest_measured_drill_counts if {
	old := drill({"ageSeconds": 60, "rpoSeconds": 90000})
	verdicts(asset({}), [drill({}), old]) == ["fail"]
	verdicts(asset({}), [old, drill({"ageSeconds": 30})]) == []
}

test_drill_that_found_no_backup_measures_nothing if {
	none := drill({"ageSeconds": 60, "verdict": "error", "rpoSeconds": null, "backupId": null})
	verdicts(asset({}), [none, drill({})]) == []
	some finding in found(asset({}), [none])
	finding.verdict == "error"
	contains(finding.message, "not known: no drill has measured one")
}

test_loss_of_a_drill_that_did_not_pass_is_not_known_unless_it_is_too_much_anyhow if {
	every verdict in ["fail", "error"] {
		some finding in found(asset({}), [drill({"verdict": verdict})])
		finding.verdict == "error"
		contains(finding.message, "did not pass, so more than that may be lost")
		verdicts(asset({}), [drill({"verdict": verdict, "rpoSeconds": 90000})]) == ["fail"]
	}
}

test_no_drill_at_all_is_not_known if verdicts(asset({}), []) == ["error"]

test_drills_of_another_asset_do_not_count if verdicts(asset({}), [drill({"asset": "crm"})]) == ["error"]

test_asset_without_objective_is_passed_over_with_the_reason if {
	some finding in found(asset({"rpoSeconds": null}), [drill({})])
	finding.verdict == "skip"
	contains(finding.message, "service erp-plant1 declares no RPO")
}

test_unreadable_records_are_an_error if {
	some finding in rpo.findings with input as document(asset({}), [drill({})], ["guardian.Drill"])
	finding.verdict == "error"
}

test_drill_from_the_future_is_an_error if verdicts(asset({}), [drill({"ageSeconds": -301})]) == ["error"]

test_missing_or_impossible_facts_are_errors if {
	every change in [{"rpoSeconds": "7200"}, {"rpoSeconds": -1}, {"verdict": null}, {"asset": null}, {"ageSeconds": null}] {
		verdicts(asset({}), [drill(change)]) == ["error"]
	}
	verdicts(asset({"rpoSeconds": "1h"}), [drill({})]) == ["error"]
	verdicts(asset({"name": null}), [drill({})]) == ["error"]
}
