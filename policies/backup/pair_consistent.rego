# METADATA
# scope: package
# title: Database and filestore match each other after a restore
# description: |
#   Of every asset that is a pair of an Odoo database and its filestore, the newest drill compared the two as they came
#   back: every file that a row names is there, no file is without a row, sizes and checksums agree
#   (`filestore.bijection`), and every file is the content that its name says (`filestore.content`). Odoo serves a missing
#   file as an empty one, without an error, so nobody notices otherwise. A drill that did not come so far, or was not
#   asked to (an asset with `assurance: restored`), is an error. Assets of other types are passed over.
# related_resources:
#   - ref: https://www.odoo.com/documentation/17.0/administration/on_premise/deploy.html
#     description: Odoo, deployment, filestore and database
#   - ref: https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final
#     description: NIST SP 800-53, CP-9(1) testing for reliability and integrity
# custom:
#   id: backup.pair-consistent
#   scope: snapshot
#   severity: critical
#   remediation: |
#     Read what is missing: `guardian evidence show RECORD`. Back both up in the safe order, the database's snapshot first
#     and the files after it, while Odoo's attachment garbage collector rests: `guardian manifest ASSET --backup -- CMD…`
#     does. Files that are lost at the source too come back only from an older backup. Then `guardian drill ASSET`.
#   inputs: [guardian.Asset, guardian.Drill]
#   judges: [guardian.Asset]
#   frameworks:
#     nist-800-53r5: [CP-9(1), SI-7(1)]
#     iso-27001-2022: [A.8.13]
#   stages: [audit]
#   uses: [incomplete]
package guardian.backup.pair_consistent

import future.keywords.not

import data.guardian.lib.drills
import data.guardian.lib.duration
import data.guardian.lib.outcome

assets := input.resources["guardian.Asset"]

all_drills := input.resources["guardian.Drill"]

# By asset, so that many assets with many drills cost no more than their number.
drills_of[name] contains drill if {
	some drill in all_drills
	name := drill.attributes.asset
}

of(asset) := object.get(drills_of, asset.attributes.name, set())

misplaced := drills.misplaced(all_drills)

checks := {"filestore.bijection", "filestore.content"}

judged contains asset.id if some asset in assets

findings contains finding if {
	some asset in assets
	finding := verdict(asset)
	finding.verdict != "pass"
}

verdict(asset) := outcome.skip(asset.id, "a database without a filestore: there is nothing that it must match") if {
	is_string(asset.attributes.type)
	asset.attributes.type != "odoo"
} else := outcome.error(asset.id, "the records of drills could not all be read") if {
	not drills_read
} else := outcome.error(asset.id, "a record of a drill names no asset, time or place in the log") if {
	count(misplaced) > 0
} else := outcome.error(asset.id, message) if {
	is_string(asset.attributes.name)
	count(of(asset)) == 0
	message := sprintf("whether database and filestore of asset %s match is not known: it was never drilled; run `guardian drill %s`", [
		asset.attributes.name,
		asset.attributes.name,
	])
} else := result if {
	result := judge(asset, drills.newest(of(asset)))
} else := outcome.unknown(asset.id)

drills_read if {
	is_array(input.incomplete)
	not "guardian.Drill" in input.incomplete
}

judge(asset, drill) := outcome.error(asset.id, message) if {
	drill.attributes.ageSeconds < 0 - drills.clock_skew_seconds
	message := sprintf("the newest drill of asset %s is dated %s in the future: a clock is wrong", [
		asset.attributes.name,
		duration.text(0 - drill.attributes.ageSeconds),
	])
} else := outcome.fail(asset.id, message, {"passed": sort(checks)}, observed) if {
	failed := [check | some check in drill.attributes.failedChecks; check in checks]
	count(failed) > 0
	message := sprintf("database and filestore of asset %s did not match each other after the restore of backup %v: %s failed", [
		asset.attributes.name,
		object.get(drill.attributes, "backupId", null),
		concat(", ", sort(failed)),
	])
	observed := object.union(
		object.filter(drill.attributes, {"recordId", "backupId", "verdict"}),
		{"failed": sort(failed)},
	)
} else := outcome.proved if {
	asset.attributes.type == "odoo"
	passed := {check | some check in drill.attributes.passedChecks}
	is_array(drill.attributes.passedChecks)
	count(checks - passed) == 0
	none_of(drill.attributes.failedChecks)
	none_of(drill.attributes.erredChecks)
} else := outcome.error(asset.id, message) if {
	is_array(drill.attributes.passedChecks)
	passed := {check | some check in drill.attributes.passedChecks}
	unchecked := checks - passed
	count(unchecked) > 0
	message := sprintf("whether database and filestore of asset %s match is not known: its newest drill, of backup %v, did not come to %s", [
		asset.attributes.name,
		object.get(drill.attributes, "backupId", null),
		concat(", ", sort(unchecked)),
	])
} else := outcome.unknown(asset.id)

none_of(list) if {
	is_array(list)
	every check in list {
		is_string(check)
		not check in checks
	}
}
