# METADATA
# scope: package
# title: Roles name what they grant, and grant no way to more
# description: |
#   No Role and no ClusterRole has a wildcard verb, a wildcard resource (`*`, `*/scale`) or all non-resource URLs, nor the
#   verbs `escalate`, `bind` and `impersonate` (constrained impersonation, `impersonate:user-info` and its like, included),
#   nor a way into running pods, of databases above all (pods/exec, pods/attach, pods/portforward, changing
#   pods/ephemeralcontainers), to the kubelets (nodes/proxy), to tokens of any service account (creating
#   serviceaccounts/token) or to certificates of any identity (changing certificatesigningrequests/approval).
#   A ClusterRole that reads secrets reads those of the whole cluster, unless `resourceNames` names them. A Role that reads
#   the secrets of its own namespace is accepted: what stands in one namespace is one boundary of trust. `pods/*` is no
#   wildcard for Kubernetes and grants nothing; a wildcard among apiGroups counts where the resource does.
#   A rule that Kubernetes 1.36 ships for a role of that name, word for word, is passed over, so that `admin`, `edit` and
#   the roles of controllers do not drown what was added: any other rule of such a role is judged. Of an aggregated
#   ClusterRole the rules are judged that the controller filled in.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/security/rbac-good-practices/
#     description: Kubernetes, good practices of role based access control and its risks of privilege escalation
#   - ref: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
#     description: Kubernetes, how rules of roles match requests
# custom:
#   id: rbac.wildcard
#   scope: resource
#   severity: high
#   remediation: |
#     Write down what is needed instead of a wildcard, and give exec, impersonation and secrets to nobody by a role:
#     `rules: [{apiGroups: [apps], resources: [deployments], verbs: [get, list, watch, patch]}]`. Secrets go by name, in a
#     Role: `{apiGroups: [""], resources: [secrets], resourceNames: [erp-db], verbs: [get]}`. A role that really needs it
#     (an operator, a controller of another version of Kubernetes) goes, by review, into guardian.yaml:
#     `controls: {rbac.wildcard: {params: {allowed: ["ClusterRole:cert-manager-edit", "Role:erp/migrate"]}}}`.
#   inputs: [k8s.rbac.authorization.k8s.io.ClusterRole, k8s.rbac.authorization.k8s.io.Role]
#   frameworks:
#     nist-800-53r5: [AC-6]
#     iso-27001-2022: [A.8.2]
#   stages: [audit, admission]
#   uses: []
package guardian.rbac.wildcard

import future.keywords.not

import data.guardian.lib.outcome
import data.guardian.lib.shipped_roles

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.fail(input.resource.id, message, expected, {"rules": observed}) if {
	count(problems) > 0
	not allowed
	message := sprintf("%v: %s", [called, concat("; ", sort(problems))])
	expected := {"allowed": accepted}
	observed := [shown(i) | some i, _ in rules; count(dangers[i]) > 0]
} else := outcome.proved if {
	known
	allowed
} else := outcome.skip(input.resource.id, "ships with Kubernetes 1.36, and nothing was added that needs a review") if {
	known
	count(problems) == 0
	some rule in rules
	shipped(rule)
} else := outcome.skip(input.resource.id, "aggregated: its rules are those of the roles it selects, each judged itself") if {
	known
	count(rules) == 0
	is_object(input.resource.attributes.aggregationRule)
} else := outcome.proved if {
	known
	count(problems) == 0
} else := outcome.unknown(input.resource.id)

# The role as a binding, `allowed` and a message name it.
called := concat("", ["ClusterRole:", input.resource.attributes.metadata.name]) if {
	cluster_wide
} else := concat("", ["Role:", input.resource.scope.namespace, "/", input.resource.attributes.metadata.name]) if {
	input.resource.kind == "k8s.rbac.authorization.k8s.io.Role"
	input.resource.scope.namespace != ""
} else := "a role without a name"

cluster_wide if input.resource.kind == "k8s.rbac.authorization.k8s.io.ClusterRole"

allowed if called in input.params.allowed

accepted := sort(input.params.allowed) if {
	is_array(input.params.allowed)
} else := []

# A role without rules has null, an empty list or nothing there.
rules := [] if {
	object.get(input.resource.attributes, "rules", null) == null
} else := input.resource.attributes.rules

# known: every rule has the form that the API server asks for, so that nothing in it was passed over.
known if {
	is_string(input.resource.attributes.metadata.name)
	called != "a role without a name"
	is_array(rules)
	every rule in rules { well_formed(rule) }
}

well_formed(rule) if {
	every field in fields { is_set(members(rule, field)) }
	count(members(rule, "verbs")) > 0
	count(members(rule, "resources")) > 0
	count(members(rule, "apiGroups")) > 0
	count(members(rule, "nonResourceURLs")) == 0
}

well_formed(rule) if {
	every field in fields { is_set(members(rule, field)) }
	count(members(rule, "verbs")) > 0
	count(members(rule, "nonResourceURLs")) > 0
	count(members(rule, "resources")) == 0
}

fields := {"apiGroups", "resources", "resourceNames", "nonResourceURLs", "verbs"}

# members(rule, field) is a set of texts, empty where the field is absent; undefined where it is anything else.
members(rule, field) := set() if {
	object.get(rule, field, null) == null
} else := {value | some value in rule[field]} if {
	is_array(rule[field])
	every value in rule[field] { is_string(value) }
}

shipped(rule) if {
	canonical := {field: members(rule, field) | some field in fields; count(members(rule, field)) > 0}
	canonical in shipped_roles.rules[called]
}

problems contains text if {
	some i, found in dangers
	some danger in found
	text := sprintf("rules[%d] %s", [i, danger])
}

dangers[i] := found if {
	some i, rule in rules
	found := {danger | some danger in dangers_of(rule); not shipped(rule)}
}

dangers_of(rule) := {text |
	some finds in [
		wildcards(rule),
		escalations(rule),
		secrets(rule),
		{text | some resource, text in ways_in; way_in(rule, resource)},
	]
	some text in finds
}

wildcards(rule) := {text |
	some text in ({"has the wildcard verb *" | "*" in rule.verbs} | (resources | urls))
} if {
	resources := {concat(" ", ["has the wildcard resource", resource]) |
		some resource in rule.resources
		wildcard(resource)
	}
	urls := {concat(" ", ["has all non-resource URLs by", url]) |
		some url in rule.nonResourceURLs
		endswith(url, "*")
		trim_right(url, "*") in {"", "/"}
	}
}

wildcard("*")

wildcard(resource) if startswith(resource, "*/")

escalations(rule) := {concat(" ", ["has the verb", verb]) | some verb in rule.verbs; escalates(verb)}

escalates(verb) if verb in {"escalate", "bind", "impersonate"}

escalates(verb) if startswith(verb, "impersonate:")

secrets(rule) := {"reads all secrets of the cluster"} if {
	cluster_wide
	grants(rule, "", "secrets", {"get", "list", "watch"})
	not named(rule)
} else := set()

# An empty name among resourceNames is that of a list: it would let all be listed.
named(rule) if {
	count(rule.resourceNames) > 0
	every name in rule.resourceNames { name != "" }
}

way_in(rule, "pods/ephemeralcontainers") if grants(rule, "", "pods/ephemeralcontainers", {"update", "patch"})

way_in(rule, "serviceaccounts/token") if grants(rule, "", "serviceaccounts/token", {"create"})

way_in(rule, "certificatesigningrequests/approval") if {
	grants(rule, "certificates.k8s.io", "certificatesigningrequests/approval", {"update", "patch"})
}

way_in(rule, resource) if {
	resource in {"pods/exec", "pods/attach", "pods/portforward", "nodes/proxy"}
	grants(rule, "", resource, {verb | some verb in rule.verbs})
}

ways_in := {
	"pods/exec": "opens pods/exec, a shell in any pod, those of databases too",
	"pods/attach": "opens pods/attach, the console of any pod, those of databases too",
	"pods/portforward": "opens pods/portforward, every port of any pod past all network policies",
	"pods/ephemeralcontainers": "changes pods/ephemeralcontainers, a container of one's own in any pod",
	"nodes/proxy": "opens nodes/proxy, the kubelet of any node with exec into its pods",
	"serviceaccounts/token": "creates serviceaccounts/token, a token of any service account",
	"certificatesigningrequests/approval": "approves certificatesigningrequests, a certificate for any identity",
}

# grants: the rule gives one of these verbs on this resource by its name. Wildcard resources are a problem of their own.
grants(rule, group, resource, verbs) if {
	resource in rule.resources
	some stated in rule.apiGroups
	stated in {group, "*"}
	some verb in rule.verbs
	verb in (verbs | {"*"})
}

shown(i) := object.union({"index": i}, {field: sort(rules[i][field]) |
	some field in fields
	is_array(rules[i][field])
})
