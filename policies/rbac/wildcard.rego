# METADATA
# scope: package
# title: Roles name what they grant, and grant no way to more
# description: |
#   No Role and no ClusterRole has a wildcard verb, a wildcard resource (`*`, `*/scale`) or all non-resource URLs, nor the
#   verbs `escalate`, `bind` and `impersonate` (constrained impersonation, `impersonate:user-info` and its like, included),
#   nor a way into running pods, of databases above all (pods/exec, pods/attach, pods/portforward, pods/proxy,
#   services/proxy, changing pods/ephemeralcontainers), to the kubelets (nodes/proxy), to tokens of any service account
#   (creating serviceaccounts/token), to certificates of any identity (changing certificatesigningrequests/approval) or past
#   admission control (writing validating or mutating webhook configurations, by name too: the name may be Guardian's own).
#   Non-resource URLs such as `/a*`, shorter than any path that an API server has, count as wildcards: a few are all.
#   A ClusterRole that reads secrets reads those of the whole cluster, unless `resourceNames` names them. A Role that reads
#   the secrets of its own namespace is accepted: what stands in one namespace is one boundary of trust. `pods/*` is no
#   wildcard for Kubernetes and grants nothing; a wildcard among apiGroups counts where the resource does.
#   A rule that Kubernetes 1.36 ships for a role of that name, word for word, is passed over, so that `admin`, `edit` and
#   the roles of controllers do not drown what was added: any other rule of such a role is judged. Of an aggregated
#   ClusterRole the rules are judged that the controller filled in, and its selectors: none may select cluster-admin, as
#   `{}` and `kubernetes.io/bootstrapping: rbac-defaults` do. More than 1,000 rules, or 10,000 entries in them, fail.
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
import data.guardian.lib.selector
import data.guardian.lib.shipped_roles

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

# One that takes longer to judge than anybody waits for would be a way past admission.
verdict := outcome.fail(input.resource.id, message, {"most": most}, null) if {
	not allowed
	message := crowd
} else := outcome.proved if {
	known
	allowed
} else := outcome.fail(input.resource.id, message, expected, {"rules": observed}) if {
	not allowed
	count(problems) > 0
	message := sprintf("%v: %s%s", [
		called,
		concat("; ", sort({told(problem) | some problem in outcome.first(problems)})),
		outcome.rest(count(problems)),
	])
	expected := {"allowed": accepted}
	observed := outcome.first([shown(i) | some i, _ in rules; count(dangers[i]) > 0])
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

most := {"rules": 1000, "entries": 10000}

crowd := sprintf("has %d rules, which nobody can review", [count(rules)]) if {
	not is_string(rules)
	count(rules) > most.rules
} else := sprintf("has rules with %d entries, which nobody can review", [entries]) if {
	entries := sum([count(list) | some rule in rules; some list in rule; not is_string(list)])
	entries > most.entries
} else := sprintf("aggregates by %d selectors, which nobody can review", [count(selectors)]) if {
	not is_string(selectors)
	count(selectors) > most.rules
}

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
	is_array(selectors)
	every labels in selectors {
		is_object(labels)
		selector.well_formed(labels)
	}
}

# The selectors by which a role is aggregated: none where it is not.
selectors := [] if {
	object.get(input.resource.attributes, ["aggregationRule", "clusterRoleSelectors"], null) == null
	object.get(input.resource.attributes, "aggregationRule", null) in {null, aggregation}
} else := aggregation.clusterRoleSelectors

aggregation := input.resource.attributes.aggregationRule if {
	is_object(input.resource.attributes.aggregationRule)
} else := {}

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

# What is wrong, as [list, index, danger], in the order of the object: lists, because large sets of texts take long.
problems := array.concat(
	[["rules", i, danger] | some i, _ in rules; some danger in dangers[i]],
	[["aggregationRule.clusterRoleSelectors", i, "selects cluster-admin"] |
		some i, labels in selectors
		selector.matches(labels, labels_of_cluster_admin)
	],
)

# What selects all that cluster-admin is labelled with selects cluster-admin.
labels_of_cluster_admin := {"kubernetes.io/bootstrapping": "rbac-defaults"}

told([list, i, danger]) := sprintf("%s[%d] %s", [list, i, outcome.short(danger)])

dangers[i] := found if {
	some i, rule in rules
	not shipped(rule)
	found := dangers_of(rule)
}

dangers_of(rule) := [text |
	some finds in [
		wildcards(rule),
		[concat(" ", ["has the verb", verb]) | some verb in rule.verbs; escalates(verb)],
		secrets(rule),
		sort([text | some resource, text in ways_in; way_in(rule, resource)]),
	]
	some text in finds
]

wildcards(rule) := array.concat(
	["has the wildcard verb *" | "*" in rule.verbs],
	array.concat(
		[concat(" ", ["has the wildcard resource", resource]) | some resource in rule.resources; wildcard(resource)],
		[concat(" ", ["has", urls_by(url), "non-resource URLs by", url]) | some url in rule.nonResourceURLs],
	),
)

urls_by(url) := "all" if {
	endswith(url, "*")
	trim_right(url, "*") in {"", "/"}
} else := "unnamed" if {
	endswith(url, "*")
	count(trim_right(url, "*")) < count("/api")
}

wildcard("*")

wildcard(resource) if startswith(resource, "*/")

escalates(verb) if verb in {"escalate", "bind", "impersonate"}

escalates(verb) if startswith(verb, "impersonate:")

secrets(rule) := ["reads all secrets of the cluster"] if {
	cluster_wide
	grants(rule, "", "secrets", {"get", "list", "watch"})
	not named(rule)
} else := []

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
	resource in {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}
	grants(rule, "admissionregistration.k8s.io", resource, {"create", "update", "patch", "delete", "deletecollection"})
}

way_in(rule, resource) if {
	resource in {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy"}
	grants(rule, "", resource, {verb | some verb in rule.verbs})
}

ways_in := {
	"pods/exec": "opens pods/exec, a shell in any pod, those of databases too",
	"pods/attach": "opens pods/attach, the console of any pod, those of databases too",
	"pods/portforward": "opens pods/portforward, every port of any pod past all network policies",
	"pods/proxy": "opens pods/proxy, HTTP to every port of any pod past all network policies",
	"services/proxy": "opens services/proxy, HTTP to any service past all network policies",
	"pods/ephemeralcontainers": "changes pods/ephemeralcontainers, a container of one's own in any pod",
	"nodes/proxy": "opens nodes/proxy, the kubelet of any node with exec into its pods",
	"serviceaccounts/token": "creates serviceaccounts/token, a token of any service account",
	"certificatesigningrequests/approval": "approves certificatesigningrequests, a certificate for any identity",
	"mutatingwebhookconfigurations": "writes mutatingwebhookconfigurations and so switches admission control off",
	"validatingwebhookconfigurations": "writes validatingwebhookconfigurations and so switches admission control off",
}

# grants: the rule gives one of these verbs on this resource by its name. Wildcard resources are a problem of their own.
grants(rule, group, resource, verbs) if {
	resource in rule.resources
	holds_one(rule.apiGroups, {group, "*"})
	holds_one(rule.verbs, verbs | {"*"})
}

holds_one(list, wanted) if count([value | some value in list; value in wanted]) > 0

shown(i) := object.union({"index": i}, {field: sort(rules[i][field]) |
	some field in fields
	is_array(rules[i][field])
})
