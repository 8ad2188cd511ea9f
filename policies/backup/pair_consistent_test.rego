package guardian.backup.pair_consistent_test

import data.guardian.backup.pair_consistent

asset(changes) := {
	"kind": "guardian.Asset",
	"id": "declared:production/asset/erp",
	"attributes": object.union({"name": "erp", "type": "odoo"}, changes),
}

both := ["identity", "filestore.content", "filestore.bijection"]

examined := {
	"asset": "erp",
	"backupId": "b",
	"recordId": "r",
	"logIndex": 7,
	"ageSeconds": 3600,
	"verdict": "pass",
	"passedChecks": both,
	"failedChecks": [],
	"erredChecks": [],
}

drill(changes) := {
	"kind": "guardian.Drill",
	"id": "records:production/drill/r",
	"attributes": object.union(examined, changes),
}

document(one_asset, drills, incomplete) := {
	"resources": {"guardian.Asset": [one_asset], "guardian.Drill": drills},
	"params": {one_asset.id: {}},
	"incomplete": incomplete,
}

found(one_asset, drills) := findings if {
	findings := pair_consistent.findings with input as document(one_asset, drills, [])
}

verdicts(one_asset, drills) := [finding.verdict | some finding in found(one_asset, drills)]

test_pair_that_matched_passes_whatever_else_failed if {
	verdicts(asset({}), [drill({})]) == []
	verdicts(asset({}), [drill({"verdict": "fail", "failedChecks": ["content.hashes"]})]) == []
}

test_pair_that_did_not_match_fails_and_names_the_check_and_the_backup if {
	every check in ["filestore.bijection", "filestore.content"] {
		passed := [id | some id in both; id != check]
		some finding in found(asset({}), [drill({"verdict": "fail", "passedChecks": passed, "failedChecks": [check]})])
		finding.verdict == "fail"
		contains(finding.message, sprintf("after the restore of backup b: %s failed", [check]))
		finding.observed.failed == [check]
	}
}

test_newest_drill_counts if {
	failing := drill({"ageSeconds": 60, "failedChecks": ["filestore.bijection"], "passedChecks": ["filestore.content"]})
	verdicts(asset({}), [drill({}), failing]) == ["fail"]
	verdicts(asset({}), [failing, drill({"ageSeconds": 30})]) == []
}

test_drill_that_did_not_come_so_far_is_an_error if {
	cut := drill({"verdict": "fail", "passedChecks": ["identity"], "erredChecks": ["filestore.bijection"]})
	some finding in found(asset({}), [cut])
	finding.verdict == "error"
	contains(finding.message, "did not come to filestore.bijection, filestore.content")
	verdicts(asset({}), [drill({"passedChecks": ["filestore.content"]})]) == ["error"]
}

test_pair_never_drilled_is_an_error if {
	verdicts(asset({}), []) == ["error"]
	verdicts(asset({}), [drill({"asset": "crm"})]) == ["error"]
}

test_database_alone_is_passed_over if {
	verdicts(asset({"type": "postgres"}), [drill({"failedChecks": ["filestore.bijection"]})]) == ["skip"]
}

test_unreadable_records_are_an_error if {
	some finding in pair_consistent.findings with input as document(asset({}), [drill({})], ["guardian.Drill"])
	finding.verdict == "error"
}

test_drill_from_the_future_is_an_error if verdicts(asset({}), [drill({"ageSeconds": -301})]) == ["error"]

test_missing_or_contradicting_facts_are_errors if {
	every change in [
		{"passedChecks": null},
		{"passedChecks": "filestore.bijection"},
		{"failedChecks": null},
		{"erredChecks": ["filestore.content"]},
		{"erredChecks": [7]},
		{"asset": null},
		{"ageSeconds": null},
		{"logIndex": null},
	] {
		verdicts(asset({}), [drill(change)]) == ["error"]
	}
	verdicts(asset({"type": null}), [drill({})]) == ["error"]
	verdicts(asset({"name": null}), [drill({})]) == ["error"]
}
