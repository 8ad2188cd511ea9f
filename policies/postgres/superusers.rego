# METADATA
# scope: package
# title: Superusers are on a list, and dangerous role attributes have an owner
# description: |
#   No role that can log in is a superuser, or can become one by SET ROLE, unless it is on `allowed`. A role with
#   CREATEROLE, BYPASSRLS or REPLICATION, and a superuser that cannot log in, is named in `owned` with its owner. Roles
#   that cannot log in and hold none of these are passed over. All roles of a server are read together, because what a
#   role can become depends on the others.
# related_resources:
#   - ref: https://www.postgresql.org/docs/current/role-attributes.html
#     description: PostgreSQL, role attributes
#   - ref: https://www.postgresql.org/docs/current/role-membership.html
#     description: PostgreSQL, role membership and SET ROLE
# custom:
#   id: postgres.superusers
#   scope: snapshot
#   severity: high
#   remediation: |
#     Take the right away: `ALTER ROLE name NOSUPERUSER NOCREATEROLE NOBYPASSRLS NOREPLICATION;`, or the membership that
#     leads to it: `REVOKE superuser_role FROM name;`. A role that really needs it goes, by review, into guardian.yaml:
#     `controls: {postgres.superusers: {params: {allowed: [postgres, name], owned: {replicator: team-database}}}}`.
#   inputs: [postgres.Role]
#   judges: [postgres.Role]
#   frameworks:
#     nist-800-53r5: [AC-6(5)]
#     iso-27001-2022: [A.8.2]
#     soc2: [CC6.3]
#   stages: [audit]
#   uses: []
package guardian.postgres.superusers

import future.keywords.not

import data.guardian.lib.outcome

roles := input.resources["postgres.Role"]

judged contains role.id if some role in roles

findings contains finding if {
	some role in roles
	finding := verdict(role)
	finding.verdict != "pass"
}

verdict(role) := outcome.fail(role.id, message, expected, observed) if {
	count(problems(role)) > 0
	message := sprintf("role %v %s", [role.attributes.name, concat("; it ", sort(problems(role)))])
	expected := {
		"allowed": object.get(input.params, [role.id, "allowed"], null),
		"owned": object.get(input.params, [role.id, "owned"], null),
	}
	observed := object.filter(role.attributes, {
		"superuser",
		"createRole",
		"bypassRls",
		"replication",
		"canLogin",
		"canBecome",
	})
} else := outcome.skip(role.id, "predefined role that nobody can log in as, without dangerous attributes") if {
	known(role)
	harmless(role)
	role.attributes.predefined == true
} else := outcome.skip(role.id, "cannot log in and holds no dangerous attribute") if {
	known(role)
	harmless(role)
} else := outcome.proved if {
	known(role)
	count(problems(role)) == 0
	role.attributes.canLogin == true
} else := outcome.proved if {
	# Cannot log in, holds a dangerous attribute, and no problem was found: it is owned.
	known(role)
	count(problems(role)) == 0
	not harmless(role)
} else := outcome.error(role.id, message) if {
	message := sprintf("role %v could not be judged: these roles that it can become were not all read: %v", [
		role.attributes.name,
		sort(unread(role)),
	])
	count(unread(role)) > 0
} else := outcome.unknown(role.id)

# known: every fact that a verdict rests on was read.
known(role) if {
	is_string(role.attributes.name)
	is_string(role.source.name)
	is_boolean(role.attributes.superuser)
	is_boolean(role.attributes.createRole)
	is_boolean(role.attributes.bypassRls)
	is_boolean(role.attributes.replication)
	is_boolean(role.attributes.canLogin)
	is_array(role.attributes.canBecome)
	count(unread(role)) == 0
}

# What a role can become and nobody read: if it were a superuser, nobody would know.
unread(role) := {name |
	some name in role.attributes.canBecome
	not name in superuser_names[role.source.name]
	not name in other_names[role.source.name]
}

harmless(role) if {
	role.attributes.canLogin == false
	role.attributes.superuser == false
	role.attributes.createRole == false
	role.attributes.bypassRls == false
	role.attributes.replication == false
}

superuser_names[server] contains role.attributes.name if {
	some role in roles
	server := role.source.name
	role.attributes.superuser == true
}

other_names[server] contains role.attributes.name if {
	some role in roles
	server := role.source.name
	role.attributes.superuser == false
}

problems(role) := ((own_right(role) | borrowed_right(role)) | unowned_superuser(role)) | unowned_attributes(role)

own_right(role) := {"can log in as a superuser and is not on the list of allowed superusers"} if {
	role.attributes.superuser == true
	not role.attributes.canLogin == false
	not allowed(role)
} else := set()

borrowed_right(role) := {message} if {
	not role.attributes.superuser == true
	not role.attributes.canLogin == false
	not allowed(role)
	reached := {name | some name in role.attributes.canBecome; name in superuser_names[role.source.name]}
	count(reached) > 0
	message := sprintf("can log in and become the superuser %s by SET ROLE, and is not on the list of allowed superusers", [
		concat(", ", sort(reached)),
	])
} else := set()

unowned_superuser(role) := {"is a superuser that nobody owns, though it cannot log in itself"} if {
	role.attributes.superuser == true
	role.attributes.canLogin == false
	not allowed(role)
	not owned(role)
} else := set()

unowned_attributes(role) := {message} if {
	not role.attributes.superuser == true
	not owned(role)
	held := {label | some field, label in dangerous; role.attributes[field] == true}
	count(held) > 0
	message := sprintf("has %s and nobody owns it", [concat(", ", sort(held))])
} else := set()

dangerous := {"createRole": "CREATEROLE", "bypassRls": "BYPASSRLS", "replication": "REPLICATION"}

allowed(role) if role.attributes.name in input.params[role.id].allowed

owned(role) if {
	owner := input.params[role.id].owned[role.attributes.name]
	is_string(owner)
	trim_space(owner) != ""
}
