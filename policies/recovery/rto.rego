# METADATA
# scope: package
# title: The estimated recovery time is within the objective
# description: |
#   The newest drill that measured a restore of the asset gives an estimate of the recovery time: the measured seconds of
#   the restore plus the times declared for detection, decision and redirection. It is an estimate, not a measurement:
#   the sandbox is another machine than the one that would be recovered to, and a time that nobody declared counts as
#   nothing. Without a measured restore the recovery time is not known, which is an error. An asset whose service
#   declares no RTO is passed over here, because there is nothing to hold it against; `service.declared` fails for
#   that service, so the gap shows once, where it is mended.
# related_resources:
#   - ref: https://csrc.nist.gov/pubs/sp/800/34/r1/upd1/final
#     description: NIST SP 800-34, contingency planning guide, recovery time objective
# custom:
#   id: recovery.rto
#   scope: snapshot
#   severity: high
#   remediation: |
#     Read the phases of the drill: `guardian evidence show RECORD`. Restore faster (parallel jobs, a physical backup, a
#     backup nearer to where it is restored), shorten the declared detection, decision and redirection, or agree with
#     the service's owner on an objective that can be kept. Without a measurement: `guardian drill ASSET`.
#   inputs: [guardian.Asset, guardian.Drill]
#   judges: [guardian.Asset]
#   frameworks:
#     nist-800-53r5: [CP-2, CP-10(4)]
#     iso-27001-2022: [A.5.30]
#     soc2: [A1.3]
#     dora: [12(6)]
#   stages: [audit]
#   uses: [incomplete]
package guardian.recovery.rto

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

of(asset) := found if {
	found := drills_of[asset.attributes.name]
} else := set()

misplaced := drills.misplaced(all_drills)

judged contains asset.id if some asset in assets

findings contains finding if {
	some asset in assets
	finding := verdict(asset)
	finding.verdict != "pass"
}

verdict(asset) := outcome.skip(asset.id, message) if {
	asset.attributes.rtoSeconds == null
	message := sprintf("service %v declares no RTO to hold asset %v against; service.declared reports that", [
		asset.attributes.service,
		asset.attributes.name,
	])
} else := outcome.error(asset.id, "the records of drills could not all be read") if {
	not drills_read
} else := outcome.error(asset.id, "a record of a drill names no asset, time, place in the log or restore time") if {
	count(misplaced) + count(unmeasurable) > 0
} else := outcome.error(asset.id, message) if {
	is_string(asset.attributes.name)
	count(measured(asset)) == 0
	message := sprintf("the recovery time of asset %s is not known: no drill has measured a restore of it; run `guardian drill %s`", [
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
	some drill in of(asset)
	is_number(drill.attributes.restoreSeconds)
]

# A restore time is a number, or null when the restore did not complete; anything else may hide the newest measurement.
unmeasurable := [drill |
	some drill in all_drills
	not is_number(drill.attributes.restoreSeconds)
	not drill.attributes.restoreSeconds == null
]

judge(asset, drill) := outcome.error(asset.id, message) if {
	drill.attributes.ageSeconds < 0 - drills.clock_skew_seconds
	message := sprintf("the newest measured drill of asset %s is dated %s in the future: a clock is wrong", [
		asset.attributes.name,
		duration.text(0 - drill.attributes.ageSeconds),
	])
} else := outcome.fail(asset.id, message, expected, observed) if {
	drill.attributes.estimatedRtoSeconds > asset.attributes.rtoSeconds
	is_number(asset.attributes.rtoSeconds)
	is_number(drill.attributes.estimatedRtoSeconds)
	message := sprintf("the estimated recovery time of asset %s is %s, the RTO is %s. It is an estimate: %s measured for the restore%s, %s declared for detection, decision and redirection", [
		asset.attributes.name,
		duration.text(drill.attributes.estimatedRtoSeconds),
		duration.text(asset.attributes.rtoSeconds),
		duration.text(drill.attributes.restoreSeconds),
		slower(drill),
		duration.text(drill.attributes.estimatedRtoSeconds - drill.attributes.restoreSeconds),
	])
	expected := {"rtoSeconds": asset.attributes.rtoSeconds}
	observed := object.union(
		object.filter(drill.attributes, {"recordId", "backupId", "restoreSeconds", "estimatedRtoSeconds"}),
		{"declaredSeconds": drill.attributes.estimatedRtoSeconds - drill.attributes.restoreSeconds},
	)
} else := outcome.proved if {
	is_number(asset.attributes.rtoSeconds)
	is_number(drill.attributes.estimatedRtoSeconds)
	drill.attributes.restoreSeconds >= 0
	drill.attributes.estimatedRtoSeconds >= drill.attributes.restoreSeconds
	drill.attributes.estimatedRtoSeconds <= asset.attributes.rtoSeconds
} else := outcome.unknown(asset.id)

slower(drill) := sprintf(" (%v times what earlier drills let expect)", [drill.attributes.restoreRegression]) if {
	is_number(drill.attributes.restoreRegression)
} else := ""
