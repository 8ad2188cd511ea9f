package guardian.rbac.wildcard_test

import future.keywords.not

import data.guardian.rbac.wildcard

group := "k8s.rbac.authorization.k8s.io."

cluster_role(name, rules) := {
	"kind": concat("", [group, "ClusterRole"]),
	"id": concat("", ["k8s:prod/rbac.authorization.k8s.io/ClusterRole/", name]),
	"scope": {"cluster": "prod", "labels": {}},
	"attributes": {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}, "rules": rules},
}

role(name, rules) := {
	"kind": concat("", [group, "Role"]),
	"id": concat("", ["k8s:prod/rbac.authorization.k8s.io/Role/erp/", name]),
	"scope": {"cluster": "prod", "namespace": "erp", "labels": {}},
	"attributes": {
		"apiVersion": "rbac.authorization.k8s.io/v1",
		"metadata": {"name": name, "namespace": "erp"},
		"rules": rules,
	},
}

found(resource, allowed) := findings if {
	findings := wildcard.findings with input as {"resource": resource, "params": {"allowed": allowed}}
}

verdicts(resource, allowed) := {finding.verdict | some finding in found(resource, allowed)}

message(resource) := finding.message if {
	some finding in found(resource, [])
	finding.verdict == "fail"
}

rule(group_name, resources, verbs) := {"apiGroups": [group_name], "resources": resources, "verbs": verbs}

reader := rule("apps", ["deployments", "deployments/scale"], ["get", "list", "watch", "update"])

test_role_that_names_what_it_grants_passes if {
	verdicts(cluster_role("reader", [reader]), []) == set()
	verdicts(role("reader", [reader]), []) == set()
}

test_role_without_rules_passes if {
	verdicts(cluster_role("empty", []), []) == set()
	verdicts(cluster_role("empty", null), []) == set()
	absent := json.remove(cluster_role("empty", []), ["attributes/rules"])
	verdicts(absent, []) == set()
}

test_wildcard_verb_fails_in_both_kinds if {
	rules := [reader, rule("", ["pods"], ["*"])]
	contains(message(cluster_role("ci", rules)), "rules[1] has the wildcard verb *")
	contains(message(role("ci", rules)), "rules[1] has the wildcard verb *")
}

test_wildcard_resource_fails if {
	contains(message(cluster_role("ci", [rule("apps", ["*"], ["get"])])), "rules[0] has the wildcard resource *")
	contains(message(role("ci", [rule("apps", ["*/scale"], ["get"])])), "rules[0] has the wildcard resource */scale")
}

test_what_kubernetes_takes_literally_is_no_wildcard if {
	verdicts(cluster_role("literal", [rule("", ["pods/*"], ["get"])]), []) == set()
}

test_all_urls_fail_and_some_do_not if {
	every url in ["*", "/*", "/**"] {
		contains(
			message(cluster_role("urls", [{"nonResourceURLs": [url], "verbs": ["get"]}])),
			concat(" ", ["has all non-resource URLs by", url]),
		)
	}
	verdicts(cluster_role("urls", [{"nonResourceURLs": ["/", "/healthz/*", "/metrics"], "verbs": ["get"]}]), []) == set()
}

test_each_verb_of_escalation_fails if {
	every verb in ["escalate", "bind", "impersonate", "impersonate:user-info"] {
		escalating := rule("rbac.authorization.k8s.io", ["clusterroles"], [verb])
		contains(message(cluster_role("up", [escalating])), concat(" ", ["rules[0] has the verb", verb]))
		contains(message(role("up", [escalating])), concat(" ", ["rules[0] has the verb", verb]))
	}
}

test_secrets_of_the_cluster_fail_for_every_reading_verb if {
	every verb in ["get", "list", "watch"] {
		every name in ["", "*"] {
			contains(message(cluster_role("spy", [rule(name, ["secrets"], [verb])])), "reads all secrets of the cluster")
		}
	}
	verdicts(cluster_role("writer", [rule("", ["secrets"], ["create", "delete"])]), []) == set()
	verdicts(cluster_role("other", [rule("example.org", ["secrets"], ["get"])]), []) == set()
}

test_secrets_of_one_namespace_or_by_name_pass if {
	verdicts(role("own", [rule("", ["secrets"], ["get", "list"])]), []) == set()
	named := object.union(rule("", ["secrets"], ["get"]), {"resourceNames": ["erp-db"]})
	verdicts(cluster_role("named", [named]), []) == set()
}

test_empty_resource_name_names_nothing if {
	every names in [[], null, [""], ["erp-db", ""]] {
		unnamed := object.union(rule("", ["secrets"], ["list"]), {"resourceNames": names})
		contains(message(cluster_role("spy", [unnamed])), "reads all secrets of the cluster")
	}
}

test_each_way_into_pods_nodes_and_identities_fails if {
	every case in [
		["", "pods/exec", "create"],
		["", "pods/exec", "get"],
		["", "pods/attach", "create"],
		["", "pods/portforward", "create"],
		["*", "pods/portforward", "create"],
		["", "pods/ephemeralcontainers", "patch"],
		["", "nodes/proxy", "get"],
		["", "pods/proxy", "get"],
		["", "services/proxy", "create"],
		["", "serviceaccounts/token", "create"],
		["certificates.k8s.io", "certificatesigningrequests/approval", "update"],
	] {
		contains(message(role("in", [rule(case[0], [case[1]], [case[2]])])), split(case[1], "/")[0])
		verdicts(cluster_role("in", [rule(case[0], [case[1]], [case[2]])]), []) == {"fail"}
	}
}

test_resource_of_another_group_or_a_harmless_verb_is_no_way_in if {
	verdicts(role("other", [rule("example.org", ["pods/exec"], ["create"])]), []) == set()
	verdicts(role("other", [rule("", ["pods/ephemeralcontainers"], ["get"])]), []) == set()
	verdicts(role("other", [rule("certificates.k8s.io", ["certificatesigningrequests"], ["create"])]), []) == set()
}

test_role_on_the_list_passes_by_kind_and_namespace if {
	exec := rule("", ["pods/exec"], ["create"])
	verdicts(cluster_role("ci", [exec]), ["ClusterRole:ci"]) == set()
	verdicts(role("ci", [exec]), ["Role:erp/ci"]) == set()
	verdicts(role("ci", [exec]), ["ClusterRole:ci", "Role:crm/ci", "Role:ci", "ci"]) == {"fail"}
	verdicts(cluster_role("ci", [exec]), ["Role:erp/ci", "ci"]) == {"fail"}
}

all := rule("*", ["*"], ["*"])

urls := {"nonResourceURLs": ["*"], "verbs": ["*"]}

test_shipped_role_does_not_apply_in_any_order_of_words if {
	verdicts(cluster_role("cluster-admin", [urls, all]), []) == {"skip"}
	hpa := rule("external.metrics.k8s.io", ["*"], ["watch", "get", "list"])
	verdicts(cluster_role("system:controller:horizontal-pod-autoscaler", [hpa, reader]), []) == {"skip"}
}

test_shipped_role_with_a_rule_more_is_judged_for_that_rule if {
	token := rule("", ["serviceaccounts/token"], ["create"])
	grown := cluster_role("edit", [token, rule("", ["pods/exec"], ["create"])])
	contains(message(grown), "rules[1] opens pods/exec")
	not contains(message(grown), "rules[0]")
}

test_name_or_label_of_a_shipped_role_is_no_way_out if {
	labels := {"kubernetes.io/bootstrapping": "rbac-defaults"}
	forged := object.union(cluster_role("system:node", [all]), {"attributes": {"metadata": {"labels": labels}}})
	verdicts(forged, []) == {"fail"}
	verdicts(cluster_role("my-admin", [all]), []) == {"fail"}
	verdicts(role("cluster-admin", [all]), []) == {"fail"}
}

test_urls_shorter_than_any_path_fail if {
	every url in ["/a*", "/ap*", "a*", "/v/**"] {
		contains(
			message(cluster_role("urls", [{"nonResourceURLs": [url], "verbs": ["get"]}])),
			concat(" ", ["has unnamed non-resource URLs by", url]),
		)
	}
	verdicts(cluster_role("urls", [{"nonResourceURLs": ["/api*", "/logs*", "/ui"], "verbs": ["get"]}]), []) == set()
}

test_writing_webhook_configurations_fails_and_reading_does_not if {
	every resource in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
		every verb in ["create", "update", "patch", "delete", "deletecollection"] {
			writer := rule("admissionregistration.k8s.io", [resource], [verb])
			words := sprintf("writes %s and so switches admission control off", [resource])
			contains(message(cluster_role("hooks", [writer])), words)
			contains(message(cluster_role("hooks", [object.union(writer, {"resourceNames": ["guardian"]})])), words)
		}
		verdicts(cluster_role("r", [rule("admissionregistration.k8s.io", [resource], ["get", "list", "watch"])]), []) == set()
		verdicts(cluster_role("o", [rule("example.org", [resource], ["delete"])]), []) == set()
	}
}

aggregated(name, selectors) := object.union(
	cluster_role(name, []),
	{"attributes": {"aggregationRule": {"clusterRoleSelectors": selectors}}},
)

test_selector_that_selects_cluster_admin_fails if {
	every labels in [
		{},
		{"matchLabels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
		{"matchExpressions": [{"key": "kubernetes.io/bootstrapping", "operator": "Exists"}]},
		{"matchExpressions": [{"key": "mine", "operator": "DoesNotExist"}]},
		{"matchExpressions": [{"key": "mine", "operator": "NotIn", "values": ["x"]}]},
	] {
		own := {"matchLabels": {"example.org/aggregate-to-sum": "true"}}
		contains(message(aggregated("sum", [own, labels])), "aggregationRule.clusterRoleSelectors[1] selects cluster-admin")
		verdicts(aggregated("admin", [labels]), []) == {"fail"}
		verdicts(aggregated("sum", [labels]), ["ClusterRole:sum"]) == set()
		verdicts(aggregated("sum", [own]), []) == {"skip"}
	}
	verdicts(aggregated("admin", [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}]), []) == {"skip"}
}

test_malformed_aggregation_is_an_error if {
	every wrong in ["x", {}, [null], ["x"], [{"labels": {}}], [{"matchLabels": {"a": 1}}]] {
		verdicts(aggregated("sum", wrong), []) == {"error"}
	}
	verdicts(object.union(cluster_role("sum", []), {"attributes": {"aggregationRule": "x"}}), []) == {"error"}
}

test_crowd_of_rules_or_entries_fails_unless_reviewed if {
	crowd := [reader | some _ in numbers.range(1, 1001)]
	message(cluster_role("big", crowd)) == "has 1001 rules, which nobody can review"
	verdicts(cluster_role("big", crowd), ["ClusterRole:big"]) == set()
	wide := rule("apps", [sprintf("r%d", [i]) | some i in numbers.range(1, 10000)], ["get"])
	message(cluster_role("wide", [wide])) == "has rules with 10002 entries, which nobody can review"
	bad := [rule("apps", ["*"], ["get"]) | some _ in numbers.range(1, 60)]
	endswith(message(cluster_role("bad", bad)), "; and 10 more")
}

test_aggregated_role_that_nobody_filled_yet_does_not_apply if {
	aggregated := object.union(cluster_role("sum", []), {"attributes": {"aggregationRule": {"clusterRoleSelectors": []}}})
	verdicts(aggregated, []) == {"skip"}
	verdicts(object.union(aggregated, {"attributes": {"rules": [all]}}), []) == {"fail"}
	verdicts(object.union(aggregated, {"attributes": {"rules": [reader]}}), []) == set()
}

test_missing_or_malformed_fact_is_an_error if {
	every wrong in [
		"pods",
		{},
		["get"],
		[{}],
		[null],
		[{"apiGroups": [""], "resources": ["pods"]}],
		[{"apiGroups": [""], "resources": ["pods"], "verbs": []}],
		[{"apiGroups": [""], "resources": ["pods"], "verbs": "get"}],
		[{"apiGroups": [""], "resources": ["pods"], "verbs": [7]}],
		[{"resources": ["pods"], "verbs": ["get"]}],
		[{"apiGroups": [""], "verbs": ["get"]}],
		[{"apiGroups": [""], "resources": "pods", "verbs": ["get"]}],
		[{"apiGroups": [""], "resources": ["pods"], "resourceNames": {"a": "b"}, "verbs": ["get"]}],
		[{"nonResourceURLs": ["/healthz"], "resources": ["pods"], "verbs": ["get"]}],
		[{"nonResourceURLs": ["/healthz"], "apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
		[{"nonResourceURLs": ["/healthz"]}],
		[{"nonResourceURLs": ["/healthz"], "verbs": []}],
		[{"nonResourceURLs": ["/healthz"], "resourceNames": 7, "verbs": ["get"]}],
	] {
		verdicts(cluster_role("x", wrong), []) == {"error"}
		verdicts(cluster_role("x", wrong), ["ClusterRole:x"]) == {"error"}
	}
	verdicts(json.remove(cluster_role("x", []), ["attributes"]), []) == {"error"}
	verdicts(json.remove(role("x", []), ["scope/namespace"]), []) == {"error"}
	verdicts(json.remove(role("x", []), ["attributes/metadata/name"]), []) == {"error"}
	verdicts(object.union(role("x", []), {"kind": "k8s.core.Pod"}), []) == {"error"}
}

test_missing_parameters_never_excuse if {
	findings := wildcard.findings with input as {"resource": cluster_role("ci", [all]), "params": {}}
	{finding.verdict | some finding in findings} == {"fail"}
}

test_finding_shows_the_rules_that_fail_sorted if {
	rules := [reader, rule("", ["secrets", "pods"], ["watch", "get"])]
	some finding in found(cluster_role("ci", rules), ["ClusterRole:b", "ClusterRole:a"])
	finding.expected == {"allowed": ["ClusterRole:a", "ClusterRole:b"]}
	finding.observed == {"rules": [{
		"index": 1,
		"apiGroups": [""],
		"resources": ["pods", "secrets"],
		"verbs": ["get", "watch"],
	}]}
}
