# METADATA
# scope: package
# title: The newest complete backup is no older than the recovery point objective
# description: |
#   Every asset has a backup job and a complete backup that is no older than the service's recovery point objective, or
#   than `maxAge` where the service declares none. A backup counts only when it is known to be complete: one of unknown
#   completeness does not. A backup dated more than `clockSkew` in the future means that a clock is wrong, and no age
#   can be trusted.
# related_resources:
#   - ref: https://csrc.nist.gov/pubs/sp/800/34/r1/upd1/final
#     description: NIST SP 800-34, contingency planning guide, section 3.4.2 (backup and recovery)
# custom:
#   id: backup.fresh
#   scope: snapshot
#   severity: critical
#   remediation: |
#     Look at why the backup job of the asset did not run or did not finish (its own log, disk space, credentials), run it
#     once by hand, and check `guardian snapshot`. An asset without a job gets one in guardian.yaml:
#     `backups: [{name: nightly, format: pg_dump, path: /backups/NAME, every: 24h}]`. If the objective is tighter than
#     the job can ever be, change the job or the objective, not this control.
#   inputs: [guardian.Asset, backup.Backup]
#   judges: [guardian.Asset]
#   frameworks:
#     nist-800-53r5: [CP-9]
#     iso-27001-2022: [A.8.13]
#     soc2: [A1.2]
#   stages: [audit]
#   uses: [incomplete]
package guardian.backup.fresh

import future.keywords.not

import data.guardian.lib.duration
import data.guardian.lib.outcome

assets := input.resources["guardian.Asset"]

judged contains asset.id if some asset in assets

findings contains finding if {
	some asset in assets
	finding := verdict(asset)
	finding.verdict != "pass"
}

verdict(asset) := outcome.fail(asset.id, message, "a backup job", null) if {
	asset.attributes.backups == []
	message := sprintf("no backup is configured for asset %v: add a job under its `backups`", [asset.attributes.name])
} else := outcome.error(asset.id, message) if {
	ages := [age |
		some backup in of(asset)
		age := backup.attributes.ageSeconds
		is_number(age)
		age < 0 - skew(asset)
	]
	count(ages) > 0
	message := sprintf(
		"a backup of asset %v is dated %s in the future: the clock of this machine or of the backup's is wrong",
		[asset.attributes.name, duration.text(0 - min(ages))],
	)
} else := outcome.proved if {
	is_object(asset.attributes.backups[0])
	newest(asset) <= limit(asset)
	newest(asset) >= 0 - skew(asset)
} else := outcome.error(asset.id, message) if {
	"backup.Backup" in input.incomplete
	message := sprintf(
		"no fresh complete backup of asset %v was found, but not all backups could be read",
		[asset.attributes.name],
	)
} else := outcome.fail(asset.id, message, expected(asset), observed(asset)) if {
	is_number(limit(asset))
	is_object(asset.attributes.backups[0])
	not is_number(newest(asset))
	message := sprintf("asset %v has no complete backup%s", [asset.attributes.name, uncounted(asset)])
} else := outcome.fail(asset.id, message, expected(asset), observed(asset)) if {
	newest(asset) > limit(asset)
	message := sprintf("the newest complete backup of asset %v is %s old, the limit is %s (%s)%s", [
		asset.attributes.name,
		duration.text(newest(asset)),
		duration.text(limit(asset)),
		limit_source(asset),
		uncounted(asset),
	])
} else := outcome.unknown(asset.id)

# By asset, so that many assets with many backups cost no more than their number.
backups_of[name] contains backup if {
	some backup in input.resources["backup.Backup"]
	name := backup.attributes.asset
}

of(asset) := found if {
	found := backups_of[asset.attributes.name]
} else := set()

newest(asset) := min([age |
	some backup in of(asset)
	backup.attributes.complete == true
	age := backup.attributes.ageSeconds
	is_number(age)
])

limit(asset) := asset.attributes.rpoSeconds if {
	is_number(asset.attributes.rpoSeconds)
} else := input.params[asset.id].maxAge if {
	asset.attributes.rpoSeconds == null
	is_number(input.params[asset.id].maxAge)
}

limit_source(asset) := "the limit for services without an RPO" if {
	asset.attributes.rpoSeconds == null
} else := "the RPO"

skew(asset) := input.params[asset.id].clockSkew if {
	is_number(input.params[asset.id].clockSkew)
}

uncertain(asset) := [backup | some backup in of(asset); not is_boolean(backup.attributes.complete)]

undated(asset) := [backup |
	some backup in of(asset)
	backup.attributes.complete == true
	not is_number(backup.attributes.ageSeconds)
]

broken(asset) := [backup | some backup in of(asset); backup.attributes.complete == false]

# What is there and does not count, so that nobody who sees a file wonders.
uncounted(asset) := sprintf(" (not counted: %s)", [concat(", ", parts)]) if {
	parts := [sprintf("%d %s", [number, label]) |
		some [number, label] in [
			[count(uncertain(asset)), "of unknown completeness"],
			[count(broken(asset)), "incomplete"],
			[count(undated(asset)), "of unknown time"],
		]
		number > 0
	]
	count(parts) > 0
} else := ""

expected(asset) := {"maxAgeSeconds": limit(asset)}

observed(asset) := {
	"newestCompleteAgeSeconds": age,
	"unknownCompleteness": count(uncertain(asset)),
	"incomplete": count(broken(asset)),
	"unknownTime": count(undated(asset)),
} if {
	age := newest(asset)
} else := {
	"newestCompleteAgeSeconds": null,
	"unknownCompleteness": count(uncertain(asset)),
	"incomplete": count(broken(asset)),
	"unknownTime": count(undated(asset)),
}
