# METADATA
# scope: package
# title: Every asset is backed up, and drilled, by a schedule
# description: |
#   Every asset has a backup job, at least one of its jobs says how often it runs (`every`), and, where `drills` asks for
#   it, a drill of the asset is scheduled. This is about what is declared: that the backups come is for `backup.fresh`,
#   that the drills do for `backup.restore-tested`.
# related_resources:
#   - ref: https://csrc.nist.gov/pubs/sp/800/34/r1/upd1/final
#     description: NIST SP 800-34, contingency planning guide, section 3.4.2 (backup and recovery)
# custom:
#   id: backup.scheduled
#   scope: resource
#   severity: high
#   remediation: |
#     Give the asset a job in guardian.yaml, with how often it runs:
#     `backups: [{name: nightly, format: pg_dump, path: /backups/NAME, every: 24h}]`, and a drill:
#     `schedules: [{job: drill, asset: NAME, cron: "0 3 * * *", timeZone: Europe/Berlin, grace: 1h}]`, which `guardian run`
#     keeps. Where drills are run by something else: `controls: {backup.scheduled: {params: {drills: false}}}`.
#   inputs: [guardian.Asset]
#   frameworks:
#     nist-800-53r5: [CP-9]
#     iso-27001-2022: [A.8.13]
#     soc2: [A1.2]
#     dora: [12(1)]
#   stages: [audit]
#   uses: []
package guardian.backup.scheduled

import future.keywords.not

import data.guardian.lib.outcome

asset := input.resource.attributes

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.fail(input.resource.id, message, expected, observed) if {
	is_string(asset.name)
	count(lacking) > 0
	message := sprintf("asset %s has %s: add it in guardian.yaml", [asset.name, concat(", and ", sort(lacking))])
	expected := {"backups": "a job with `every`", "drills": drills_expected}
	observed := object.filter(asset, {"backups", "schedules"})
} else := outcome.proved if {
	is_string(asset.name)
	some job in asset.backups
	periodic(job)
	drills_proved
} else := outcome.unknown(input.resource.id)

lacking contains "no backup job" if asset.backups == []

lacking contains "backup jobs of which none says how often it runs (`every`)" if {
	is_array(asset.backups)
	count(asset.backups) > 0
	every job in asset.backups {
		job.everySeconds == null
	}
}

lacking contains "no scheduled drill" if {
	drills_wanted
	is_array(asset.schedules)
	every schedule in asset.schedules {
		is_string(schedule.job)
		schedule.job != "drill"
	}
}

periodic(job) if {
	is_number(job.everySeconds)
	job.everySeconds > 0
}

# Anything but a plain `false` means that this tier asks for it.
drills_wanted if not input.params.drills == false

drills_proved if input.params.drills == false

drills_proved if {
	drills_wanted
	some schedule in asset.schedules
	schedule.job == "drill"
	is_string(schedule.cron)
	is_string(schedule.timeZone)
}

drills_expected := "a schedule" if {
	drills_wanted
} else := null
