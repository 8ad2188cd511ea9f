# METADATA
# scope: package
# title: What PostgreSQL has confirmed is on disk, and damage to it is noticed
# description: |
#   `fsync` and `full_page_writes` are on, and data checksums are enabled. For the tiers that ask for it, no session
#   commits asynchronously: not by the server's setting, nor by an override for a role or a database. A setting that was
#   not read is an error, never a pass. Settings chosen inside a session are beyond what can be observed here.
# related_resources:
#   - ref: https://www.postgresql.org/docs/current/runtime-config-wal.html
#     description: PostgreSQL, write ahead log settings
#   - ref: https://www.postgresql.org/docs/current/checksums.html
#     description: PostgreSQL, data checksums
# custom:
#   id: postgres.durability
#   scope: resource
#   severity: critical
#   remediation: |
#     `ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();`. Checksums: stop the
#     server and run `pg_checksums --enable -D DATADIR`. Asynchronous commit: `ALTER SYSTEM RESET synchronous_commit;`,
#     and for the overrides named `ALTER ROLE name RESET synchronous_commit;` or `ALTER DATABASE name RESET
#     synchronous_commit;`.
#   inputs: [postgres.Server]
#   frameworks:
#     nist-800-53r5: [SI-7(1)]
#     iso-27001-2022: [A.8.13]
#   stages: [audit]
#   uses: []
package guardian.postgres.durability

import future.keywords.not

import data.guardian.lib.outcome

server := input.resource.attributes

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.fail(input.resource.id, message, expected, observed) if {
	count(wrong) > 0
	message := sprintf("%s: confirmed data can be lost or damaged unseen", [concat("; ", sort(wrong))])
	expected := {"fsync": "on", "full_page_writes": "on", "data_checksums": "on", "synchronous_commit": commit_expected}
	observed := object.filter(server.settings, {"fsync", "full_page_writes", "data_checksums", "synchronous_commit"})
} else := outcome.error(input.resource.id, message) if {
	count(unread) > 0
	message := sprintf("not read, so durability is not known: %s", [concat(", ", sort(unread))])
} else := outcome.proved if {
	every name in must_be_on {
		server.settings[name] == "on"
	}
	commit_proved
} else := outcome.unknown(input.resource.id)

must_be_on := {"fsync", "full_page_writes", "data_checksums"}

# Every value but `off`; an override is kept as it was written, so a boolean may be spelled out.
waits := {"on", "local", "remote_write", "remote_apply", "true", "yes", "1"}

commit_expected := "not off" if {
	input.params.synchronousCommit == true
} else := null

wrong contains sprintf("%s is %s", [name, server.settings[name]]) if {
	some name in must_be_on
	is_string(server.settings[name])
	server.settings[name] != "on"
}

wrong contains sprintf("synchronous_commit is %s", [server.settings.synchronous_commit]) if {
	commit_matters
	is_string(server.settings.synchronous_commit)
	not waiting(server.settings.synchronous_commit)
}

wrong contains sprintf("synchronous_commit is %v for role %v in database %v", [value, role, database]) if {
	commit_matters
	some override in server.overrides
	value := override.settings.synchronous_commit
	not waiting(value)
	role := text(object.get(override, "role", null))
	database := text(object.get(override, "database", null))
}

unread contains name if {
	some name in must_be_on
	not is_string(server.settings[name])
}

unread contains "synchronous_commit" if {
	commit_matters
	not is_string(server.settings.synchronous_commit)
}

unread contains "overrides for roles and databases" if {
	commit_matters
	not overrides_read
}

# Anything but a plain `false` means that this tier asks for it.
commit_matters if not input.params.synchronousCommit == false

commit_proved if input.params.synchronousCommit == false

commit_proved if {
	commit_matters
	waiting(server.settings.synchronous_commit)
	overrides_read
	every override in server.overrides {
		override_waits(override.settings)
	}
}

overrides_read if {
	is_array(server.overrides)
	every override in server.overrides {
		is_object(override.settings)
	}
}

override_waits(settings) if not "synchronous_commit" in object.keys(settings)

override_waits(settings) if waiting(settings.synchronous_commit)

waiting(value) if lower(value) in waits

text(name) := "any" if {
	name == null
} else := name
