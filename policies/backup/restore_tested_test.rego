package guardian.backup.restore_tested_test

import future.keywords.not

import data.guardian.backup.restore_tested

asset(changes) := {
	"kind": "guardian.Asset",
	"id": "declared:production/asset/erp",
	"attributes": object.union({"name": "erp", "assurance": null}, changes),
}

passed := {
	"asset": "erp",
	"backupId": "20261123T110000Z",
	"backupAgeSeconds": 7200,
	"recordId": "r",
	"logIndex": 7,
	"ageSeconds": 3600,
	"verdict": "pass",
	"assurance": "sound",
	"requiredAssurance": "sound",
	"scope": "full",
	"failedChecks": [],
	"erredChecks": [],
}

drill(changes) := {
	"kind": "guardian.Drill",
	"id": "records:production/drill/r",
	"attributes": object.union(passed, changes),
}

document(one_asset, drills, incomplete) := with_slots(one_asset, drills, [], incomplete)

with_slots(one_asset, drills, slots, incomplete) := {
	"resources": {"guardian.Asset": [one_asset], "guardian.Drill": drills, "guardian.Slot": slots},
	"params": {one_asset.id: {"maxAge": 691200}},
	"incomplete": incomplete,
}

found(one_asset, drills) := findings if {
	findings := restore_tested.findings with input as document(one_asset, drills, [])
}

verdicts(one_asset, drills) := [finding.verdict | some finding in found(one_asset, drills)]

test_recent_passing_drill_passes if verdicts(asset({}), [drill({})]) == []

test_asset_never_drilled_fails_and_says_how if {
	some finding in found(asset({}), [])
	finding.verdict == "fail"
	contains(finding.message, "run `guardian drill erp`")
}

test_drills_of_another_asset_do_not_count if verdicts(asset({}), [drill({"asset": "crm"})]) == ["fail"]

test_pass_of_an_older_backup_does_not_hide_the_failure_of_a_newer_one if {
	newer := {"backupId": "20261123T113000Z", "backupAgeSeconds": 5400}
	failed := drill(object.union(newer, {"logIndex": 6, "ageSeconds": 3700, "verdict": "fail", "assurance": null}))
	some finding in found(asset({}), [failed, drill({})])
	finding.verdict == "fail"
	contains(finding.message, "20261123T113000Z")
	mended := drill(object.union(newer, {"logIndex": 8, "ageSeconds": 60}))
	verdicts(asset({}), [failed, drill({}), mended]) == []
	verdicts(asset({}), [failed, mended, drill({"logIndex": 9, "ageSeconds": 30})]) == []
}

test_drill_that_was_killed_is_no_reason_against_a_later_pass if {
	killed := drill({"logIndex": 6, "ageSeconds": 3700, "verdict": "error", "backupId": null, "backupAgeSeconds": null})
	verdicts(asset({}), [killed, drill({})]) == []
	verdicts(asset({}), [drill({}), object.union(killed, {"attributes": {"logIndex": 9, "ageSeconds": 5}})]) == ["fail"]
}

test_age_of_a_backup_that_is_no_number_is_an_error if {
	every change in [{"backupAgeSeconds": "7200"}, {"backupAgeSeconds": null}] {
		count([verdict | some verdict in verdicts(asset({}), [drill(change)]); verdict == "error"]) == 1
	}
}

data_only(changes) := drill(object.union(
	{"scope": "data-only", "assurance": "restored", "logIndex": 8, "ageSeconds": 60},
	changes,
))

test_drill_of_the_data_alone_leaves_a_full_pass_as_it_is if {
	verdicts(asset({}), [drill({}), data_only({})]) == []
	verdicts(asset({"assurance": "exact"}), [drill({"assurance": "exact"}), data_only({})]) == []
}

test_drill_of_the_data_alone_does_not_stand_in_for_a_full_one if {
	some finding in found(asset({}), [data_only({})])
	finding.verdict == "fail"
	contains(finding.message, "only ever drilled without indexes")
	verdicts(asset({}), [drill({"ageSeconds": 691201}), data_only({})]) == ["fail"]
	verdicts(asset({}), [drill({"verdict": "fail", "assurance": null}), data_only({})]) == ["fail"]
	verdicts(asset({}), [data_only({"assurance": "sound", "requiredAssurance": "exact"})]) == ["fail"]
}

test_drill_of_the_data_alone_is_enough_where_restored_is_required if {
	verdicts(asset({"assurance": "restored"}), [data_only({})]) == []
}

test_failure_of_a_drill_of_the_data_alone_counts_until_another_passes if {
	every verdict in ["fail", "error"] {
		failed := data_only({"verdict": verdict, "assurance": null})
		verdicts(asset({}), [drill({}), failed]) == ["fail"]
		later := data_only({"logIndex": 9, "ageSeconds": 30})
		verdicts(asset({}), [drill({}), failed, later]) == []
		verdicts(asset({}), [failed, later]) == ["fail"]
		older := object.union(later, {"attributes": {"backupAgeSeconds": 90000}})
		verdicts(asset({}), [drill({}), failed, older]) == ["fail"]
		verdicts(asset({}), [failed, drill({"logIndex": 9, "ageSeconds": 30})]) == []
	}
}

test_unknown_scope_is_an_error if {
	every change in [{"scope": "some"}, {"scope": null}] {
		verdicts(asset({}), [drill({}), drill(change)]) == ["error"]
	}
}

test_newest_failing_drill_fails_whatever_came_before if {
	failing := drill({"ageSeconds": 60, "verdict": "fail", "assurance": null, "failedChecks": ["content.hashes"]})
	some finding in found(asset({}), [drill({}), failing])
	finding.verdict == "fail"
	contains(finding.message, "failed at content.hashes")
	verdicts(asset({}), [failing, drill({})]) == ["fail"]
}

test_newer_passing_drill_mends_an_older_failure if {
	verdicts(asset({}), [drill({"ageSeconds": 9000, "verdict": "fail"}), drill({})]) == []
}

test_of_two_drills_of_one_second_the_later_logged_counts if {
	failing := drill({"verdict": "fail", "logIndex": 8})
	verdicts(asset({}), [failing, drill({})]) == ["fail"]
	verdicts(asset({}), [drill({}), drill({"verdict": "fail", "logIndex": 6})]) == []
}

test_newest_drill_that_could_not_check_fails_with_its_reason if {
	some finding in found(asset({}), [drill({"verdict": "error", "erredChecks": ["server.started"]})])
	finding.verdict == "fail"
	contains(finding.message, "it could not check server.started")
}

test_drill_older_than_the_cadence_fails if {
	some finding in found(asset({}), [drill({"ageSeconds": 691201})])
	finding.verdict == "fail"
	contains(finding.message, "is 8 d old, its tier asks for one every 8 d")
	verdicts(asset({}), [drill({"ageSeconds": 691200})]) == []
}

test_assurance_below_what_the_asset_requires_fails if {
	some finding in found(asset({"assurance": "exact"}), [drill({})])
	finding.verdict == "fail"
	contains(finding.message, "reached assurance sound, but exact is required")
	verdicts(asset({"assurance": "exact"}), [drill({"assurance": "exact"})]) == []
	verdicts(asset({"assurance": "restored"}), [drill({})]) == []
}

test_assurance_null_is_below_every_level if {
	verdicts(asset({}), [drill({"assurance": null})]) == ["fail"]
	verdicts(asset({"assurance": "restored"}), [drill({"assurance": null})]) == ["fail"]
}

test_drill_from_the_future_is_an_error if verdicts(asset({}), [drill({"ageSeconds": -301})]) == ["error"]

test_unreadable_records_are_an_error if {
	some finding in restore_tested.findings with input as document(asset({}), [drill({})], ["guardian.Drill"])
	finding.verdict == "error"
}

test_drill_that_cannot_be_placed_is_an_error_for_every_asset if {
	every change in [{"asset": null}, {"ageSeconds": null}, {"logIndex": "7"}] {
		verdicts(asset({}), [drill({}), drill(change)]) == ["error"]
	}
}

test_missing_facts_never_pass if {
	every change in [{"verdict": null}, {"assurance": 2}, {"requiredAssurance": null}] {
		verdicts(asset({}), [drill(change)]) != []
	}
	verdicts(asset({"name": null}), [drill({})]) == ["error"]
}

test_missing_parameters_are_an_error if {
	full := document(asset({}), [drill({})], [])
	some finding in restore_tested.findings with input as object.union(object.remove(full, ["params"]), {"params": {}})
	finding.verdict == "error"
}

slot(changes) := {
	"kind": "guardian.Slot",
	"id": "records:production/slot/drill:erp@2026-11-23T10:30:00Z",
	"attributes": object.union(
		{
			"slot": "drill:erp@2026-11-23T10:30:00Z",
			"job": "drill:erp",
			"asset": "erp",
			"due": "2026-11-23T10:30:00Z",
			"ageSeconds": 1800,
			"state": "missed",
			"reason": "nobody ran it before its grace ended",
			"recordId": "m",
			"logIndex": 9,
		},
		changes,
	),
}

absent := {
	"slot": "drill:erp@2026-11-23T10:45:00Z",
	"ageSeconds": 900,
	"state": "absent",
	"reason": "no daemon was alive",
	"recordId": null,
	"logIndex": null,
}

slot_findings(drills, slots) := findings if {
	findings := restore_tested.findings with input as with_slots(asset({}), drills, slots, [])
}

slot_verdicts(drills, slots) := [finding.verdict | some finding in slot_findings(drills, slots)]

test_slot_missed_since_the_newest_pass_fails_and_is_named_with_its_reason if {
	some finding in slot_findings([drill({})], [slot({})])
	finding.verdict == "fail"
	contains(finding.message, "drill:erp@2026-11-23T10:30:00Z was missed (nobody ran it before its grace ended)")
	[entry.recordId | some entry in finding.observed.missedSlots] == ["m"]
}

test_slot_that_nobody_closed_fails_and_several_are_named_newest_first if {
	some finding in slot_findings([drill({})], [slot({}), slot(absent)])
	finding.verdict == "fail"
	contains(finding.message, "since: drill:erp@2026-11-23T10:45:00Z was closed by nobody (no daemon was alive); drill:erp@2")
}

test_pass_after_a_missed_slot_clears_it_and_a_drill_that_did_not_pass_does_not if {
	after := {"ageSeconds": 1700, "logIndex": 10}
	slot_verdicts([drill({}), drill(after)], [slot({})]) == []
	slot_verdicts([drill({"ageSeconds": 1800})], [slot({})]) == []
	every verdict in ["fail", "error"] {
		found := slot_findings([drill({}), drill(object.union(after, {"verdict": verdict}))], [slot({})])
		count([finding | some finding in found; contains(finding.message, "was missed")]) == 1
	}
}

test_missed_slot_of_an_asset_that_never_passed_is_named_beside_that if {
	found := slot_findings([], [slot({})])
	{finding.verdict | some finding in found} == {"fail"}
	count(found) == 2
}

test_slots_of_another_asset_do_not_count if slot_verdicts([drill({})], [slot({"asset": "crm"})]) == []

test_many_missed_slots_are_counted_and_not_all_named if {
	many := [slot({"slot": sprintf("drill:erp@%d", [i]), "ageSeconds": i}) | some i in numbers.range(1, 60)]
	some finding in slot_findings([drill({})], many)
	contains(finding.message, "; and 10 more")
	count(finding.observed.missedSlots) == 50
}

test_unreadable_slots_are_an_error if {
	some finding in restore_tested.findings with input as with_slots(asset({}), [drill({})], [], ["guardian.Slot"])
	finding.verdict == "error"
	unseen := {
		"resources": {"guardian.Asset": [asset({})], "guardian.Drill": [drill({})]},
		"params": {"declared:production/asset/erp": {"maxAge": 691200}},
		"incomplete": [],
	}
	some other in restore_tested.findings with input as unseen
	other.verdict == "error"
}

test_slot_that_cannot_be_placed_is_an_error if {
	every change in [
		{"asset": null},
		{"slot": null},
		{"ageSeconds": "1800"},
		{"ageSeconds": -301},
		{"state": "passed"},
		{"state": null},
	] {
		slot_verdicts([drill({})], [slot(change)]) == ["error"]
	}
}
