# METADATA
# scope: package
# title: Buckets of backups keep what was written, whoever asks
# description: |
#   Every bucket that guardian.yaml names under `backupBuckets` has versioning and S3 Object Lock on, with a default retention
#   of one of the `modes` and at least `minRetention`, and no lifecycle rule that expires current versions sooner than that
#   retention. In mode GOVERNANCE whoever holds s3:BypassGovernanceRetention may still delete; in COMPLIANCE nobody may.
#   Other buckets are passed over. Retention that a program sets on single objects is not read: without a default, what a
#   program forgets is not kept.
# related_resources:
#   - ref: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
#     description: Amazon S3, locking objects with Object Lock
#   - ref: https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final
#     description: NIST SP 800-53 revision 5, CP-9 system backup, AU-9 protection of audit information
# custom:
#   id: backup.immutable
#   scope: resource
#   severity: critical
#   remediation: |
#     `aws s3api put-bucket-versioning --bucket NAME --versioning-configuration Status=Enabled`, then
#     `aws s3api put-object-lock-configuration --bucket NAME --object-lock-configuration
#     '{"ObjectLockEnabled":"Enabled","Rule":{"DefaultRetention":{"Mode":"COMPLIANCE","Days":35}}}'`
#     Try it with GOVERNANCE and a day first: COMPLIANCE cannot be undone, and what is locked is paid for. It holds for what
#     is written from then on. Let the lifecycle expire backups only after the retention:
#     `aws s3api put-bucket-lifecycle-configuration --bucket NAME --lifecycle-configuration file://lifecycle.json`.
#   inputs: [aws.s3.Bucket]
#   frameworks:
#     nist-800-53r5: [CP-9, AU-9]
#     iso-27001-2022: [A.8.13]
#   stages: [audit]
#   uses: []
package guardian.backup.immutable

import future.keywords.not

import data.guardian.lib.duration
import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

bucket := input.resource.attributes

lock := bucket.objectLock

verdict := outcome.skip(input.resource.id, "is no bucket of backups: none that `backupBuckets` names") if {
	bucket.backup == false
} else := outcome.fail(input.resource.id, message, expected, observed) if {
	bucket.backup == true
	count(problems) > 0
	message := sprintf("bucket %v %s", [bucket.name, concat("; ", sort(problems))])
	expected := {
		"minRetentionSeconds": object.get(input.params, "minRetention", null),
		"modes": object.get(input.params, "modes", null),
	}
	observed := object.filter(bucket, {"versioning", "objectLock", "lifecycle"})
} else := outcome.proved if {
	bucket.backup == true
	count(problems) == 0
	bucket.versioning == "Enabled"
	lock.enabled == true
	input.params.modes[_] == lock.mode
	lock.retentionDays * 86400 >= input.params.minRetention
	is_array(bucket.lifecycle)
	every rule in bucket.lifecycle { harmless(rule) }
} else := outcome.unknown(input.resource.id)

problems contains "has no versioning: switch it on" if bucket.versioning in {"Off", "Suspended"}

problems contains "has no Object Lock: switch it on" if lock.enabled == false

problems contains "has Object Lock without a default retention: set one" if {
	lock.enabled == true
	null in [lock.mode, lock.retentionDays]
}

problems contains message if {
	lock.enabled == true
	is_string(lock.mode)
	is_array(input.params.modes)
	not lock.mode in input.params.modes
	message := sprintf("retains in mode %v, asked is %s: those who may bypass it may delete", [
		lock.mode,
		concat(" or ", sort(input.params.modes)),
	])
}

problems contains message if {
	lock.enabled == true
	is_number(lock.retentionDays)
	lock.retentionDays * 86400 < input.params.minRetention
	is_number(input.params.minRetention)
	message := sprintf("retains for %v days, the least is %s", [
		lock.retentionDays,
		duration.text(input.params.minRetention),
	])
}

problems contains message if {
	some rule in bucket.lifecycle
	rule.enabled == true
	is_number(rule.expireDays)
	rule.expireDays * 86400 < kept
	message := sprintf("has the lifecycle rule %v, which expires backups after %v days, sooner than %s", [
		outcome.short(object.get(rule, "id", "without an id")),
		rule.expireDays,
		duration.text(kept),
	])
}

# For how long backups must stay current: as long as they are retained, and as long as is asked at least.
kept := max({seconds |
	some seconds in [lock.retentionDays * 86400, input.params.minRetention]
	is_number(seconds)
}) if {
	is_number(lock.retentionDays)
} else := input.params.minRetention if {
	is_number(input.params.minRetention)
}

harmless(rule) if rule.enabled == false

harmless(rule) if {
	rule.enabled == true
	rule.expireDays == null
}

harmless(rule) if {
	rule.enabled == true
	rule.expireDays * 86400 >= kept
}
