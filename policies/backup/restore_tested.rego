# METADATA
# scope: package
# title: Every asset has been restored and verified within its cadence
# description: |
#   The newest drill of every asset passed, reached the assurance that the asset requires, and is no older than `maxAge`,
#   the cadence of its tier. An older success does not excuse a newer failure, nor does an older backup's success excuse
#   the failure of a newer backup. A drill of a dump's data alone, without indexes and constraints, proves no more than
#   `restored`: where more is required its pass neither fails the asset nor stands in for the full drill, which must keep
#   the cadence by itself; its failure counts, until such a drill of the same or a newer backup passes. Only drills that
#   are signed in this environment's own log count. A scheduled drill that
#   did not take place, whether its slot was closed as missed or by nobody at all, fails until a drill of the asset that
#   finished after it was due has passed; coverage goes on naming it.
# related_resources:
#   - ref: https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final
#     description: NIST SP 800-53, CP-9(1) testing for reliability and integrity
# custom:
#   id: backup.restore-tested
#   scope: snapshot
#   severity: critical
#   remediation: |
#     Run `guardian drill ASSET` and read what it says. A drill that failed means that the backup does not give back what
#     it should: mend the backup job, take a new backup, drill again. A drill that ended in an error means that Guardian
#     could not check: `guardian doctor` says what is missing. Then schedule it:
#     `schedules: [{job: drill, asset: ASSET, cron: "0 3 * * *", timeZone: Europe/Berlin, grace: 1h}]`. A slot that was
#     missed, or that nobody closed: see that `guardian run` runs all the time and is not busy past the grace with other
#     jobs, then drill the asset; `guardian evidence coverage` names every such slot.
#   inputs: [guardian.Asset, guardian.Drill, guardian.Slot]
#   judges: [guardian.Asset]
#   frameworks:
#     nist-800-53r5: [CP-4, CP-9(1)]
#     iso-27001-2022: [A.5.30, A.8.13]
#     soc2: [A1.3]
#     dora: [12(2)]
#   stages: [audit]
#   uses: [incomplete]
package guardian.backup.restore_tested

import future.keywords.not

import data.guardian.lib.drills
import data.guardian.lib.duration
import data.guardian.lib.outcome

assets := input.resources["guardian.Asset"]

all_drills := input.resources["guardian.Drill"]

all_slots := input.resources["guardian.Slot"]

# By asset, so that many assets with many drills cost no more than their number.
drills_of[name] contains drill if {
	some drill in all_drills
	name := drill.attributes.asset
}

of(asset) := found if {
	found := drills_of[asset.attributes.name]
} else := set()

misplaced := drills.misplaced(all_drills)

# The age of the backup is a number, or null when the drill had none; anything else may hide which backup is the newest.
undated := [drill |
	some drill in all_drills
	not is_number(drill.attributes.backupAgeSeconds)
	not drill.attributes.backupAgeSeconds == null
]

# What a drill proved depends on how much it restored; a scope that is neither may hide that it was not all.
unscoped := [drill | some drill in all_drills; not drill.attributes.scope in {"full", "data-only"}]

judged contains asset.id if some asset in assets

findings contains finding if {
	some asset in assets
	finding := verdict(asset)
	finding.verdict != "pass"
}

# Beside what the drills say, so that neither hides the other.
findings contains finding if {
	some asset in assets
	finding := slots_verdict(asset)
	finding.verdict != "pass"
}

verdict(asset) := outcome.error(asset.id, "the records of drills could not all be read") if {
	not drills_read
} else := outcome.error(asset.id, "a record of a drill names no asset, time, place in the log or scope") if {
	(count(misplaced) + count(undated)) + count(unscoped) > 0
} else := outcome.fail(asset.id, message, expected(asset), null) if {
	is_string(asset.attributes.name)
	count(of(asset)) == 0
	message := sprintf("no backup of asset %s was ever restored: run `guardian drill %s`", [
		asset.attributes.name,
		asset.attributes.name,
	])
} else := outcome.fail(asset.id, message, expected(asset), null) if {
	is_string(asset.attributes.name)
	count(weighty(asset)) == 0
	message := sprintf("asset %s was only ever drilled without indexes and constraints, which proves no more than restored: run a full drill (`drill: {scope: rotate}` has one take place in time)", [asset.attributes.name])
} else := result if {
	result := judge(asset, counting(weighty(asset)))
} else := outcome.unknown(asset.id)

# weighty(asset) is its drills without those of the data alone that say nothing of the level required.
weighty(asset) := {drill |
	some drill in of(asset)
	not partial(asset, drill)
}

partial(asset, drill) if {
	drill.attributes.scope == "data-only"
	drill.attributes.verdict == "pass"
	not reaches(asset, drill)
}

# What a drill of the data alone found wrong, a later one would find too.
partial(asset, drill) if {
	drill.attributes.scope == "data-only"
	drill.attributes.verdict in {"fail", "error"}
	some other in of(asset)
	other.attributes.scope == "data-only"
	other.attributes.verdict == "pass"
	other.attributes.logIndex > drill.attributes.logIndex
	no_older(other, drill)
	not reaches(asset, other)
}

# no_older(one, other): of the same backup or a newer one. A drill that found no backup is older than any.
no_older(_, other) if other.attributes.backupAgeSeconds == null

no_older(one, other) if {
	is_number(one.attributes.backupAgeSeconds)
	is_number(other.attributes.backupAgeSeconds)
	one.attributes.backupAgeSeconds <= other.attributes.backupAgeSeconds
}

# The newest drill counts. But the pass of an older backup does not hide that a newer one was drilled and did not pass.
counting(found) := drills.newest(hidden) if {
	last := drills.newest(found)
	last.attributes.verdict == "pass"
	hidden := {drill |
		some drill in found
		not drill.attributes.verdict == "pass"
		is_number(drill.attributes.backupAgeSeconds)
		drill.attributes.backupAgeSeconds < last.attributes.backupAgeSeconds
		not passed_later(found, drill)
	}
	count(hidden) > 0
} else := drills.newest(found)

passed_later(found, drill) if {
	some other in found
	other.attributes.backupId == drill.attributes.backupId
	other.attributes.logIndex > drill.attributes.logIndex
	other.attributes.verdict == "pass"
}

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
} else := outcome.fail(asset.id, message, expected(asset), observed(drill)) if {
	drill.attributes.verdict == "fail"
	message := sprintf("the newest drill of asset %s, of backup %v, failed%s", [
		asset.attributes.name,
		object.get(drill.attributes, "backupId", null),
		named(" at ", object.get(drill.attributes, "failedChecks", [])),
	])
} else := outcome.fail(asset.id, message, expected(asset), observed(drill)) if {
	drill.attributes.verdict == "error"
	message := sprintf("the newest drill of asset %s, of backup %v, proved nothing: it could not check%s", [
		asset.attributes.name,
		object.get(drill.attributes, "backupId", null),
		named(" ", object.get(drill.attributes, "erredChecks", [])),
	])
} else := outcome.fail(asset.id, message, expected(asset), observed(drill)) if {
	drill.attributes.verdict == "pass"
	not reaches(asset, drill)
	message := sprintf("the newest drill of asset %s reached assurance %v, but %v is required", [
		asset.attributes.name,
		object.get(drill.attributes, "assurance", null),
		required(asset, drill),
	])
} else := outcome.fail(asset.id, message, expected(asset), observed(drill)) if {
	drill.attributes.verdict == "pass"
	drill.attributes.ageSeconds > cadence(asset)
	message := sprintf("the newest drill of asset %s is %s old, its tier asks for one every %s", [
		asset.attributes.name,
		duration.text(drill.attributes.ageSeconds),
		duration.text(cadence(asset)),
	])
} else := outcome.proved if {
	drill.attributes.verdict == "pass"
	is_number(drill.attributes.backupAgeSeconds)
	reaches(asset, drill)
	drill.attributes.ageSeconds <= cadence(asset)
} else := outcome.unknown(asset.id)

cadence(asset) := input.params[asset.id].maxAge if is_number(input.params[asset.id].maxAge)

# What the asset declares today; where it declares nothing, what the drill was held to.
required(asset, drill) := asset.attributes.assurance if {
	is_string(asset.attributes.assurance)
} else := drill.attributes.requiredAssurance if {
	asset.attributes.assurance == null
} else := null

reaches(asset, drill) if drills.rank[drill.attributes.assurance] >= drills.rank[required(asset, drill)]

named(before, checks) := sprintf("%s%s", [before, concat(", ", checks)]) if {
	is_array(checks)
	count(checks) > 0
	every check in checks {
		is_string(check)
	}
} else := ""

expected(asset) := {
	"verdict": "pass",
	"maxAgeSeconds": object.get(input.params, [asset.id, "maxAge"], null),
	"assurance": object.get(asset.attributes, "assurance", null),
}

observed(drill) := object.filter(drill.attributes, {
	"recordId",
	"backupId",
	"backupAgeSeconds",
	"verdict",
	"ageSeconds",
	"assurance",
	"requiredAssurance",
	"scope",
	"failedChecks",
	"erredChecks",
})

slots_verdict(asset) := outcome.error(asset.id, "the slots of scheduled drills could not all be read") if {
	not slots_read
} else := outcome.error(asset.id, "a slot of a drill names no asset, time or state that can be judged") if {
	count(unplaced_slots) > 0
} else := outcome.fail(asset.id, message, {"missedSlots": []}, {"missedSlots": observed_slots}) if {
	is_string(asset.attributes.name)
	open := standing(asset)
	count(open) > 0
	shown := outcome.first(open)
	message := sprintf("of the scheduled drills of asset %s these did not take place, and none has passed since: %s%s", [
		asset.attributes.name,
		concat("; ", [told(slot) | some slot in shown]),
		outcome.rest(count(open)),
	])
	observed_slots := [object.filter(slot, {"slot", "state", "reason", "recordId"}) | some slot in shown]
} else := outcome.proved if {
	is_string(asset.attributes.name)
	count(standing(asset)) == 0
} else := outcome.unknown(asset.id)

slots_read if {
	is_array(input.incomplete)
	is_array(all_slots)
	not "guardian.Slot" in input.incomplete
}

unplaced_slots := [slot | some slot in all_slots; not placed_slot(slot)]

placed_slot(slot) if {
	is_string(slot.attributes.asset)
	is_string(slot.attributes.slot)
	is_number(slot.attributes.ageSeconds)
	slot.attributes.ageSeconds >= 0 - drills.clock_skew_seconds
	slot.attributes.state in {"missed", "absent"}
}

slots_of[name] contains slot if {
	some slot in all_slots
	name := slot.attributes.asset
}

# standing(asset) is what of its slots no pass has cleared, the newest first.
standing(asset) := [entry[2] | some entry in sort(open)] if {
	open := [[attributes.ageSeconds, attributes.slot, attributes] |
		some slot in object.get(slots_of, asset.attributes.name, set())
		attributes := slot.attributes
		not cleared(asset, attributes.ageSeconds)
	]
}

cleared(asset, age) if age >= last_pass[asset.attributes.name]

# By asset, the age of the newest drill that passed.
last_pass[name] := min(ages) if {
	some name, found in drills_of
	ages := [drill.attributes.ageSeconds |
		some drill in found
		drill.attributes.verdict == "pass"
		is_number(drill.attributes.ageSeconds)
	]
	count(ages) > 0
}

told(attributes) := sprintf("%s was missed%s", [attributes.slot, why(attributes)]) if {
	attributes.state == "missed"
} else := sprintf("%s was closed by nobody%s", [attributes.slot, why(attributes)])

why(attributes) := sprintf(" (%s)", [outcome.short(attributes.reason)]) if {
	is_string(attributes.reason)
	attributes.reason != ""
} else := ""
