# METADATA
# scope: package
# title: The data loss measured by the newest drill is within the objective
# description: |
#   What is measured is the age of the backup at the start of the drill that restored it: all that was written since that
#   backup would have been lost by a disaster at that moment. It is held against the recovery point objective. The newest
#   drill that measured it counts. Where the asset keeps a heartbeat row, or a copy of a cluster was recovered through
#   its write-ahead log, the age of the newest of that is measured instead. How old the newest backup became since then
#   is for `backup.fresh`. Where that drill did not pass, what came back is not proved to be all that was in the backup,
#   so the loss is not known, which is an error; so it is without any measurement. An asset whose service declares no RPO
#   is passed over here, because there is nothing to hold it against; `service.declared` fails for that service, so the
#   gap shows once, where it is mended.
# related_resources:
#   - ref: https://csrc.nist.gov/pubs/sp/800/34/r1/upd1/final
#     description: NIST SP 800-34, contingency planning guide, recovery point objective
# custom:
#   id: recovery.rpo
#   scope: snapshot
#   severity: high
#   remediation: |
#     Take backups more often than the objective allows data to be lost (a nightly dump can never keep to less than 24 h),
#     or agree with the service's owner on an objective that can be kept. Without a measurement, or after a drill of an
#     older backup by hand: `guardian drill ASSET`, which takes the newest. If that drill does not pass, mend the backup.
#   inputs: [guardian.Asset, guardian.Drill]
#   judges: [guardian.Asset]
#   frameworks:
#     nist-800-53r5: [CP-2, CP-10(4)]
#     iso-27001-2022: [A.5.30]
#     soc2: [A1.3]
#     dora: [12(6)]
#   stages: [audit]
#   uses: [incomplete]
package guardian.recovery.rpo

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

misplaced := drills.misplaced(all_drills)

judged contains asset.id if some asset in assets

findings contains finding if {
	some asset in assets
	finding := verdict(asset)
	finding.verdict != "pass"
}

verdict(asset) := outcome.skip(asset.id, message) if {
	asset.attributes.rpoSeconds == null
	message := sprintf("service %v declares no RPO to hold asset %v against; service.declared reports that", [
		asset.attributes.service,
		asset.attributes.name,
	])
} else := outcome.error(asset.id, "the records of drills could not all be read") if {
	not drills_read
} else := outcome.error(asset.id, "a record of a drill names no asset, time, place in the log or data loss") if {
	count(misplaced) + count(unmeasurable) > 0
} else := outcome.error(asset.id, message) if {
	is_string(asset.attributes.name)
	count(measured(asset)) == 0
	message := sprintf("the data loss of asset %s is not known: no drill has measured one; run `guardian drill %s`", [
		asset.attributes.name,
		asset.attributes.name,
	])
} else := result if {
	result := judge(asset, drills.newest(measured(asset)))
} else := outcome.unknown(asset.id)

drills_read if {
	is_array(input.incomplete)
	not "guardian.Drill" in input.incomplete
}

measured(asset) := [drill |
	some drill in object.get(drills_of, asset.attributes.name, set())
	is_number(drill.attributes.rpoSeconds)
]

# A data loss is a number, or null when the drill found no backup with a time; anything else may hide the newest one.
unmeasurable := [drill |
	some drill in all_drills
	not is_number(drill.attributes.rpoSeconds)
	not drill.attributes.rpoSeconds == null
]

judge(asset, drill) := outcome.error(asset.id, message) if {
	drill.attributes.ageSeconds < 0 - drills.clock_skew_seconds
	message := sprintf("the newest drill of asset %s that measured a data loss is dated %s in the future: a clock is wrong", [
		asset.attributes.name,
		duration.text(0 - drill.attributes.ageSeconds),
	])
} else := outcome.fail(asset.id, message, expected, observed) if {
	drill.attributes.rpoSeconds > asset.attributes.rpoSeconds
	is_number(asset.attributes.rpoSeconds)
	message := sprintf("recovering asset %s would have lost at least %s of data, the RPO is %s: so old was backup %v when the newest drill that measured it began", [
		asset.attributes.name,
		duration.text(drill.attributes.rpoSeconds),
		duration.text(asset.attributes.rpoSeconds),
		object.get(drill.attributes, "backupId", null),
	])
	expected := {"rpoSeconds": asset.attributes.rpoSeconds}
	observed := object.filter(drill.attributes, {"recordId", "backupId", "rpoSeconds", "verdict"})
} else := outcome.error(asset.id, message) if {
	is_number(asset.attributes.rpoSeconds)
	drill.attributes.verdict in {"fail", "error"}
	message := sprintf("the data loss of asset %s is not known: the newest drill that measured one, %s since backup %v, did not pass, so more than that may be lost", [
		asset.attributes.name,
		duration.text(drill.attributes.rpoSeconds),
		object.get(drill.attributes, "backupId", null),
	])
} else := outcome.proved if {
	drill.attributes.verdict == "pass"
	is_number(asset.attributes.rpoSeconds)
	drill.attributes.rpoSeconds >= 0
	drill.attributes.rpoSeconds <= asset.attributes.rpoSeconds
} else := outcome.unknown(asset.id)
