package guardian.service.declared_test

import data.guardian.service.declared

complete := {
	"name": "erp",
	"owner": "ops",
	"escalation": "oncall",
	"tier": "critical",
	"tenancy": "dedicated",
	"dataClass": "confidential",
	"rtoSeconds": 14400,
	"rpoSeconds": 900,
	"dependsOn": ["identity"],
}

service(changes) := {
	"kind": "guardian.Service",
	"id": "declared:production/service/erp",
	"service": "erp",
	"attributes": object.union(complete, changes),
}

observed(kind, owner) := {"kind": kind, "id": "pg:erp-db/server", "service": owner, "attributes": {}}

found(resource) := findings if {
	findings := declared.findings with input as {"resource": resource, "params": {}}
}

test_complete_service_passes if count(found(service({}))) == 0

test_no_dependencies_declared_as_such_pass if count(found(service({"dependsOn": []}))) == 0

test_each_missing_field_fails_and_is_named if {
	labels := {
		"name": "name",
		"owner": "owner",
		"escalation": "escalation",
		"tier": "tier",
		"tenancy": "tenancy",
		"dataClass": "dataClass",
		"rtoSeconds": "rto",
		"rpoSeconds": "rpo",
		"dependsOn": "dependsOn",
	}
	every field, label in labels {
		some finding in found(service({field: null}))
		finding.verdict == "fail"
		finding.observed.missing == [label]
		contains(finding.message, label)
	}
}

test_blank_owner_and_zero_objective_are_missing if {
	some finding in found(service({"owner": "  ", "rtoSeconds": 0}))
	finding.observed.missing == ["owner", "rto"]
}

test_server_of_a_service_passes if count(found(observed("postgres.Server", "erp"))) == 0

test_server_and_database_of_no_service_fail if {
	every kind in ["postgres.Server", "postgres.Database"] {
		some finding in found(observed(kind, null))
		finding.verdict == "fail"
		contains(finding.message, "matches no service: add a match")
	}
}

test_server_whose_service_is_unreadable_is_an_error if {
	some finding in found(observed("postgres.Server", 7))
	finding.verdict == "error"
}

test_kind_it_does_not_know_is_an_error if {
	some finding in found(observed("postgres.Role", "erp"))
	finding.verdict == "error"
}

test_service_without_attributes_does_not_pass if {
	some finding in found({"kind": "guardian.Service", "id": "x", "service": null})
	finding.verdict != "pass"
}

test_a_workload_that_no_service_matches_fails_and_one_of_a_service_passes if {
	deployment := {
		"kind": "k8s.apps.Deployment",
		"id": "k8s:prod-eu/apps/Deployment/erp/odoo",
		"service": null,
		"attributes": {},
	}
	found := declared.findings with input as {"resource": deployment}
	[finding.verdict | some finding in found] == ["fail"]
	matched := object.union(deployment, {"service": "erp-plant1"})
	count(declared.findings) == 0 with input as {"resource": matched}
}
