package guardian.backup.scheduled_test

import data.guardian.backup.scheduled

nightly := {"name": "nightly", "format": "pg_dump", "everySeconds": 86400}

by_hand := {"name": "by-hand", "format": "pg_dump", "everySeconds": null}

drilled := {"job": "drill", "cron": "0 3 * * *", "timeZone": "Europe/Berlin"}

asset(changes) := {
	"kind": "guardian.Asset",
	"id": "declared:production/asset/erp",
	"attributes": object.union({"name": "erp", "backups": [nightly], "schedules": [drilled]}, changes),
}

found(resource, drills) := findings if {
	findings := scheduled.findings with input as {"resource": resource, "params": {"drills": drills}}
}

verdicts(resource, drills) := [finding.verdict | some finding in found(resource, drills)]

test_asset_with_a_periodic_backup_and_a_scheduled_drill_passes if {
	verdicts(asset({}), true) == []
	verdicts(asset({"backups": [by_hand, nightly]}), true) == []
}

test_asset_without_a_backup_job_fails if {
	some finding in found(asset({"backups": []}), true)
	finding.verdict == "fail"
	finding.message == "asset erp has no backup job: add it in guardian.yaml"
}

test_asset_whose_jobs_say_no_period_fails if {
	some finding in found(asset({"backups": [by_hand]}), false)
	finding.verdict == "fail"
	contains(finding.message, "none says how often it runs")
}

test_asset_without_a_scheduled_drill_fails_where_drills_are_asked_for if {
	some finding in found(asset({"schedules": []}), true)
	finding.verdict == "fail"
	finding.message == "asset erp has no scheduled drill: add it in guardian.yaml"
	verdicts(asset({"schedules": []}), false) == []
	verdicts(asset({"schedules": [object.union(drilled, {"job": "scan"})]}), true) == ["fail"]
}

test_all_that_is_lacking_is_named_at_once if {
	some finding in found(asset({"backups": [], "schedules": []}), true)
	finding.message == "asset erp has no backup job, and no scheduled drill: add it in guardian.yaml"
}

test_missing_parameter_is_taken_as_asked_for if {
	some finding in scheduled.findings with input as {"resource": asset({"schedules": []}), "params": {}}
	finding.verdict == "fail"
}

test_missing_or_unexpected_facts_never_pass if {
	every change in [
		{"backups": null},
		{"backups": [{"name": "nightly"}]},
		{"backups": [{"name": "nightly", "everySeconds": 0}]},
		{"backups": ["nightly"]},
		{"schedules": null},
		{"schedules": [{"job": "drill", "cron": null, "timeZone": "UTC"}]},
		{"schedules": ["drill"]},
		{"name": null},
	] {
		verdicts(asset(change), true) == ["error"]
	}
}
