# METADATA
# scope: package
# title: Every service is declared, and everything observed belongs to one
# description: |
#   A service has an owner, an escalation, a tier, a tenancy decision, a data class, a recovery time and a recovery point
#   objective, and a dependency map (an empty one is a statement, a missing one is not). A PostgreSQL server or database,
#   or a workload of Kubernetes, that no service matches is nobody's: it is judged by the strictest tier until somebody
#   claims it.
# related_resources:
#   - ref: https://csrc.nist.gov/pubs/sp/800/34/r1/upd1/final
#     description: NIST SP 800-34, contingency planning guide, section 3.2 (business impact analysis)
# custom:
#   id: service.declared
#   scope: resource
#   severity: medium
#   remediation: |
#     Add the missing fields to the service in guardian.yaml: owner, escalation, tier, tenancy, dataClass, rto, rpo,
#     dependsOn (`[]` when it depends on nothing). For a server, database or workload without a service, add to the service
#     it belongs to `match: [{collector: NAME}]`, `{collector: NAME, namespace: NAMESPACE}`, or
#     `{collector: NAME, idPrefix: ID}` for one database of a shared server.
#   inputs:
#     - guardian.Service
#     - postgres.Server
#     - postgres.Database
#     - k8s.apps.DaemonSet
#     - k8s.apps.Deployment
#     - k8s.apps.StatefulSet
#     - k8s.batch.CronJob
#   frameworks:
#     nist-800-53r5: [CP-2(8), PM-11]
#     iso-27001-2022: [A.5.30]
#   stages: [audit]
#   uses: []
package guardian.service.declared

import future.keywords.not

import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.proved if {
	input.resource.kind == "guardian.Service"
	count(missing) == 0
} else := outcome.fail(id, message, "every field declared", {"missing": sort(missing)}) if {
	input.resource.kind == "guardian.Service"
	message := sprintf("service %v does not declare %s; add it in guardian.yaml", [
		object.get(input.resource.attributes, "name", "without a name"),
		concat(", ", sort(missing)),
	])
} else := outcome.proved if {
	observed_thing
	is_string(input.resource.service)
	input.resource.service != ""
} else := outcome.fail(id, message, "a service", null) if {
	observed_thing
	input.resource.service == null
	message := sprintf("%s matches no service: add a match for it to the service that it belongs to", [id])
} else := outcome.unknown(id)

observed_thing if input.resource.kind in {
	"postgres.Server",
	"postgres.Database",
	"k8s.apps.DaemonSet",
	"k8s.apps.Deployment",
	"k8s.apps.StatefulSet",
	"k8s.batch.CronJob",
}

# Without an id no finding could be made, and nothing found would be a pass.
id := input.resource.id if {
	is_string(input.resource.id)
} else := ""

texts := {"name", "owner", "escalation", "tenancy", "dataClass"}

objectives := {"rtoSeconds": "rto", "rpoSeconds": "rpo"}

missing contains field if {
	some field in texts
	not text_given(field)
}

missing contains "tier" if not input.resource.attributes.tier in {"critical", "standard", "low"}

missing contains name if {
	some field, name in objectives
	not objective_given(field)
}

missing contains "dependsOn" if not is_array(input.resource.attributes.dependsOn)

text_given(field) if {
	is_string(input.resource.attributes[field])
	trim_space(input.resource.attributes[field]) != ""
}

objective_given(field) if {
	is_number(input.resource.attributes[field])
	input.resource.attributes[field] > 0
}
