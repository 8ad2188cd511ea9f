package guardian.backup.immutable_test

import data.guardian.backup.immutable

bucket(changes) := {
	"kind": "aws.s3.Bucket",
	"id": "arn:aws:s3:::erp-backups",
	"attributes": object.union(
		{
			"name": "erp-backups",
			"backup": true,
			"versioning": "Enabled",
			"lifecycle": [{"id": "old", "enabled": true, "prefix": "", "expireDays": 60, "noncurrentExpireDays": 30}],
		},
		object.union({"objectLock": {"enabled": true, "mode": "COMPLIANCE", "retentionDays": 35}}, changes),
	),
}

found(resource, modes) := findings if {
	findings := immutable.findings with input as {
		"resource": resource,
		"params": {"minRetention": 2592000, "modes": modes},
	}
}

verdicts(changes) := {finding.verdict | some finding in found(bucket(changes), ["COMPLIANCE"])}

message(changes) := finding.message if some finding in found(bucket(changes), ["COMPLIANCE"])

lock(changes) := {"objectLock": changes}

rule(days) := {"lifecycle": [{"id": "tidy", "enabled": true, "prefix": "", "expireDays": days, "noncurrentExpireDays": null}]}

test_locked_bucket_passes if {
	verdicts({}) == set()
	verdicts({"lifecycle": []}) == set()
}

test_bucket_that_keeps_no_backups_does_not_apply if verdicts({"backup": false, "versioning": "Off"}) == {"skip"}

test_bucket_without_versioning_fails if {
	contains(message({"versioning": "Off"}), "bucket erp-backups has no versioning")
	verdicts({"versioning": "Suspended"}) == {"fail"}
}

test_bucket_without_a_lock_or_a_default_fails if {
	contains(message(lock({"enabled": false, "mode": null, "retentionDays": null})), "has no Object Lock")
	contains(message(lock({"mode": null, "retentionDays": null})), "without a default retention")
}

test_short_retention_fails if {
	contains(message(lock({"retentionDays": 29})), "retains for 29 days, the least is 30 d")
	verdicts(lock({"retentionDays": 30})) == set()
}

test_governance_fails_only_where_compliance_is_asked if {
	contains(message(lock({"mode": "GOVERNANCE"})), "retains in mode GOVERNANCE, asked is COMPLIANCE")
	found(bucket(lock({"mode": "GOVERNANCE"})), ["COMPLIANCE", "GOVERNANCE"]) == set()
}

test_lifecycle_that_expires_sooner_fails if {
	contains(message(rule(34)), "has the lifecycle rule tidy, which expires backups after 34 days, sooner than 35 d")
	verdicts(rule(35)) == set()
	verdicts(rule(null)) == set()
	off := {"lifecycle": [{"id": "tidy", "enabled": false, "prefix": "", "expireDays": 1, "noncurrentExpireDays": null}]}
	verdicts(off) == set()
}

test_what_was_not_read_is_an_error if {
	every key in ["backup", "versioning", "objectLock", "lifecycle", "objectLock/enabled", "objectLock/mode", "objectLock/retentionDays"] {
		gone := json.remove(bucket({}), [concat("/", ["attributes", key])])
		{finding.verdict | some finding in found(gone, ["COMPLIANCE"])} == {"error"}
	}
	findings := immutable.findings with input as {"resource": bucket({}), "params": {}}
	{finding.verdict | some finding in findings} == {"error"}
}
