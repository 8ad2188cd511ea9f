package guardian.postgres.superusers_test

import data.guardian.postgres.superusers

plain := {
	"superuser": false,
	"createRole": false,
	"bypassRls": false,
	"replication": false,
	"canLogin": true,
	"canBecome": [],
	"predefined": false,
}

role(name, changes) := {
	"kind": "postgres.Role",
	"id": sprintf("pg:erp-db/role/%s", [name]),
	"source": {"collector": "postgres", "name": "erp-db"},
	"attributes": object.union(object.union(plain, {"name": name}), changes),
}

document(roles, params) := {
	"resources": {"postgres.Role": roles},
	"params": {entry.id: params | some entry in roles},
	"incomplete": [],
}

verdicts(roles, params) := {finding.resource: finding.verdict | some finding in found(roles, params)}

found(roles, params) := findings if {
	findings := superusers.findings with input as document(roles, params)
}

defaults := {"allowed": ["postgres"], "owned": {}}

bootstrap := role("postgres", {"superuser": true, "createRole": true, "bypassRls": true, "replication": true})

test_listed_superuser_and_plain_roles_pass if {
	verdicts([bootstrap, role("app", {})], defaults) == {}
}

test_login_superuser_off_the_list_fails if {
	some finding in found([bootstrap, role("old_admin", {"superuser": true})], defaults)
	finding.resource == "pg:erp-db/role/old_admin"
	finding.verdict == "fail"
	contains(finding.message, "old_admin can log in as a superuser")
}

test_role_that_can_become_a_superuser_fails if {
	dba := role("dba", {"superuser": true, "canLogin": false})
	anna := role("anna", {"canBecome": ["dba"]})
	some finding in found([dba, anna], {"allowed": [], "owned": {"dba": "team-db"}})
	finding.resource == "pg:erp-db/role/anna"
	finding.verdict == "fail"
	contains(finding.message, "become the superuser dba by SET ROLE")
}

test_role_that_can_become_a_listed_superuser_fails_too if {
	verdicts([bootstrap, role("anna", {"canBecome": ["postgres"]})], defaults) == {"pg:erp-db/role/anna": "fail"}
}

test_listed_role_may_become_a_superuser if {
	dba := role("dba", {"superuser": true, "canLogin": false})
	anna := role("anna", {"canBecome": ["dba"]})
	verdicts([dba, anna], {"allowed": ["anna"], "owned": {"dba": "team-db"}}) == {}
}

test_superusers_of_another_server_do_not_matter if {
	elsewhere := object.union(role("dba", {"superuser": true}), {
		"id": "pg:other/role/dba",
		"source": {"collector": "postgres", "name": "other"},
	})
	here := role("dba", {"canLogin": false})
	anna := role("anna", {"canBecome": ["dba"]})
	verdicts([elsewhere, here, anna], defaults) == {"pg:other/role/dba": "fail", "pg:erp-db/role/dba": "skip"}
}

test_superuser_without_login_that_nobody_owns_fails if {
	verdicts([role("dba", {"superuser": true, "canLogin": false})], defaults) == {"pg:erp-db/role/dba": "fail"}
}

test_each_dangerous_attribute_that_nobody_owns_fails if {
	every field, label in {"createRole": "CREATEROLE", "bypassRls": "BYPASSRLS", "replication": "REPLICATION"} {
		every login in [true, false] {
			some finding in found([role("x", {field: true, "canLogin": login})], defaults)
			finding.verdict == "fail"
			contains(finding.message, label)
		}
	}
}

test_owned_dangerous_attribute_passes_with_and_without_login if {
	owned := {"allowed": [], "owned": {"x": "team-db"}}
	verdicts([role("x", {"replication": true})], owned) == {}
	verdicts([role("x", {"replication": true, "canLogin": false})], owned) == {}
}

test_blank_owner_owns_nothing if {
	verdicts([role("x", {"replication": true})], {"allowed": [], "owned": {"x": " "}}) == {"pg:erp-db/role/x": "fail"}
}

test_owner_does_not_excuse_a_login_superuser if {
	verdicts([role("x", {"superuser": true})], {"allowed": [], "owned": {"x": "t"}}) == {"pg:erp-db/role/x": "fail"}
}

test_harmless_roles_without_login_do_not_apply if {
	monitor := role("pg_monitor", {"canLogin": false, "predefined": true})
	group := role("staff", {"canLogin": false})
	verdicts([monitor, group], defaults) == {"pg:erp-db/role/pg_monitor": "skip", "pg:erp-db/role/staff": "skip"}
}

test_predefined_name_does_not_excuse_a_superuser if {
	evil := role("pg_evil", {"superuser": true, "predefined": true})
	verdicts([evil], defaults) == {"pg:erp-db/role/pg_evil": "fail"}
}

test_missing_fact_is_an_error if {
	every field in ["superuser", "createRole", "bypassRls", "replication", "canLogin", "canBecome"] {
		verdicts([role("app", {field: null})], defaults) == {"pg:erp-db/role/app": "error"}
	}
}

test_role_it_can_become_that_was_not_read_is_an_error if {
	some finding in found([role("app", {"canBecome": ["ghost"]})], defaults)
	finding.verdict == "error"
	contains(finding.message, "ghost")
}

test_missing_parameters_never_excuse if {
	verdicts([bootstrap], {}) == {"pg:erp-db/role/postgres": "fail"}
}

test_every_role_is_judged if {
	ids := superusers.judged with input as document([bootstrap, role("app", {})], defaults)
	ids == {"pg:erp-db/role/postgres", "pg:erp-db/role/app"}
}
