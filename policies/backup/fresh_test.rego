package guardian.backup.fresh_test

import data.guardian.backup.fresh

asset(changes) := {
	"kind": "guardian.Asset",
	"id": "declared:production/asset/erp",
	"attributes": object.union(
		{"name": "erp", "rpoSeconds": 3600, "backups": [{"name": "nightly", "format": "pg_dump", "everySeconds": 3600}]},
		changes,
	),
}

backup(age, complete) := {
	"kind": "backup.Backup",
	"id": sprintf("backup:erp/%v", [age]),
	"attributes": {"asset": "erp", "backupId": "b", "ageSeconds": age, "complete": complete},
}

document(one_asset, backups, incomplete) := {
	"resources": {"guardian.Asset": [one_asset], "backup.Backup": backups},
	"params": {one_asset.id: {"maxAge": 90000, "clockSkew": 300}},
	"incomplete": incomplete,
}

found(one_asset, backups) := findings if {
	findings := fresh.findings with input as document(one_asset, backups, [])
}

verdicts(one_asset, backups) := [finding.verdict | some finding in found(one_asset, backups)]

test_fresh_complete_backup_passes if {
	verdicts(asset({}), [backup(90000, true), backup(3600, true)]) == []
}

test_backup_older_than_the_rpo_fails if {
	some finding in found(asset({}), [backup(3601, true)])
	finding.verdict == "fail"
	contains(finding.message, "is 1 h old, the limit is 1 h (the RPO)")
	finding.expected == {"maxAgeSeconds": 3600}
	finding.observed.newestCompleteAgeSeconds == 3601
}

test_without_rpo_the_tiers_limit_counts if {
	no_rpo := asset({"rpoSeconds": null})
	verdicts(no_rpo, [backup(90000, true)]) == []
	verdicts(no_rpo, [backup(90001, true)]) == ["fail"]
}

test_no_backup_at_all_fails if {
	some finding in found(asset({}), [])
	finding.verdict == "fail"
	contains(finding.message, "has no complete backup")
}

test_asset_without_a_job_fails_and_says_so if {
	some finding in found(asset({"backups": []}), [backup(10, true)])
	finding.verdict == "fail"
	contains(finding.message, "no backup is configured for asset erp")
}

test_incomplete_and_unknown_backups_do_not_count if {
	some finding in found(asset({}), [backup(10, false), backup(20, null), backup(4000, true)])
	finding.verdict == "fail"
	contains(finding.message, "(not counted: 1 of unknown completeness, 1 incomplete)")
}

test_complete_backup_of_unknown_time_does_not_count if {
	some finding in found(asset({}), [backup(null, true)])
	finding.verdict == "fail"
	contains(finding.message, "1 of unknown time")
}

test_backup_from_the_future_is_an_error if {
	verdicts(asset({}), [backup(-301, true), backup(10, true)]) == ["error"]
	verdicts(asset({}), [backup(-300, true)]) == []
}

test_backups_of_another_asset_do_not_count if {
	foreign := object.union(backup(10, true), {"attributes": {"asset": "crm"}})
	verdicts(asset({}), [foreign]) == ["fail"]
}

test_nothing_fresh_among_unreadable_backups_is_an_error if {
	some finding in fresh.findings with input as document(asset({}), [backup(4000, true)], ["backup.Backup"])
	finding.verdict == "error"
	fresh_one := fresh.findings with input as document(asset({}), [backup(40, true)], ["backup.Backup"])
	count(fresh_one) == 0
}

test_missing_facts_never_pass if {
	backups := [backup(10, true)]
	every change in [{"rpoSeconds": "1h"}, {"backups": null}, {"name": null}] {
		verdicts(asset(change), backups) != []
	}
	verdicts(asset({"rpoSeconds": "1h"}), backups) == ["error"]
}

test_missing_parameters_are_an_error if {
	no_params := object.union(document(asset({"rpoSeconds": null}), [backup(10, true)], []), {"params": {}})
	some finding in fresh.findings with input as object.union(object.remove(no_params, ["params"]), {"params": {}})
	finding.verdict == "error"
}

test_every_asset_is_judged if {
	ids := fresh.judged with input as document(asset({}), [], [])
	ids == {"declared:production/asset/erp"}
}
