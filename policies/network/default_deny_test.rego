package guardian.network.default_deny_test

import future.keywords.not

import data.guardian.network.default_deny

namespace_in(cluster, name) := {
	"kind": "k8s.core.Namespace",
	"id": sprintf("k8s:%s/core/Namespace/%s", [cluster, name]),
	"scope": {"cluster": cluster, "namespace": name, "labels": {}},
	"attributes": {"metadata": {"name": name}, "status": {"phase": "Active"}},
}

erp := namespace_in("prod", "erp")

policy(name, spec) := {
	"kind": "k8s.networking.k8s.io.NetworkPolicy",
	"id": sprintf("k8s:prod/networking.k8s.io/NetworkPolicy/erp/%s", [name]),
	"scope": {"cluster": "prod", "namespace": "erp", "labels": {}},
	"attributes": {"metadata": {"name": name, "namespace": "erp"}, "spec": spec},
}

deny := policy("deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})

found(namespaces, policies, exempt) := findings if {
	findings := default_deny.findings with input as {
		"resources": {"k8s.core.Namespace": namespaces, "k8s.networking.k8s.io.NetworkPolicy": policies},
		"params": {entry.id: {"exempt": exempt} | some entry in namespaces},
	}
}

verdicts(namespaces, policies, exempt) := {finding.resource: finding.verdict |
	some finding in found(namespaces, policies, exempt)
}

fails(policies, words) if {
	some finding in found([erp], policies, [])
	finding.verdict == "fail"
	contains(finding.message, words)
}

passes(policies) if verdicts([erp], policies, []) == {}

test_namespace_that_denies_both_passes if {
	passes([deny])
	passes([policy("in", {"policyTypes": ["Ingress"]}), policy("out", {"podSelector": {}, "policyTypes": ["Egress"]})])
}

test_namespace_without_policies_fails_in_both_directions if {
	fails([], "namespace erp: no NetworkPolicy denies egress to all its pods")
	fails([], "no NetworkPolicy denies ingress to all its pods: add one with an empty podSelector and policyTypes [Ingress]")
}

test_absent_policy_types_restrict_egress_only_with_rules if {
	fails([policy("in", {"podSelector": {}, "ingress": [], "egress": []})], "no NetworkPolicy denies egress")
	passes([policy("both", {"podSelector": {}, "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]})])
}

test_policy_for_some_pods_denies_nothing_by_default if {
	some_pods := {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress", "Egress"]}
	fails([policy("web", some_pods)], "no NetworkPolicy")
	spares := {"matchExpressions": [{"key": "open", "operator": "DoesNotExist"}]}
	fails([policy("most", {"podSelector": spares, "policyTypes": ["Ingress", "Egress"]})], "no NetworkPolicy denies ingress")
}

test_denial_that_allows_something_is_one if {
	passes([policy("dns", {
		"policyTypes": ["Ingress", "Egress"],
		"ingress": [{"from": [{"podSelector": {}}]}],
		"egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": 443}]}, {"ports": [{"port": 53}]}],
	})])
	passes([policy("https", {
		"policyTypes": ["Ingress", "Egress"],
		"egress": [{
			"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}],
			"ports": [{"port": 443}],
		}],
	})])
}

test_policy_that_allows_everything_undoes_the_denial if {
	every spec in [
		{"podSelector": {}, "ingress": [{}]},
		{"ingress": [{"from": [{"podSelector": {}}]}, {"from": []}]},
		{"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]},
		{"ingress": [{"ports": [{"protocol": "TCP"}]}]},
		{"ingress": [{"ports": [{"port": 1, "endPort": 65535}]}]},
		{"ingress": [{"ports": [{"port": 1, "endPort": 32767}, {"port": 32768, "endPort": 65535}]}]},
		{"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.1/32"]}}]}]},
		{"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/2"}}, {"ipBlock": {"cidr": "64.0.0.0/2"}}]}]},
		{"ingress": [{"from": [{"namespaceSelector": {}}]}]},
		{"ingress": [{}], "podSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}},
	] {
		fails([deny, policy("open", spec)], "NetworkPolicy open ingress")
	}
	fails([deny, policy("open", {"policyTypes": ["Egress"], "egress": [{}]})], "open egress[0] allows everything to everywhere")
}

test_what_allows_less_than_everything_leaves_the_denial if {
	passes([deny, policy("public", {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]})])
	passes([deny, policy("metrics", {"ingress": [{"ports": [{"port": 9090}]}]})])
	passes([deny, policy("unused", {"policyTypes": ["Egress"], "ingress": [{}]})])
}

test_policies_of_another_namespace_or_cluster_do_not_count if {
	crm := namespace_in("prod", "crm")
	twin := namespace_in("stage", "erp")
	failing := {crm.id: "fail", twin.id: "fail"}
	verdicts([erp, crm, twin], [deny], []) == failing
}

test_exempt_and_leaving_namespaces_do_not_apply if {
	verdicts([erp], [], ["erp"]) == {erp.id: "skip"}
	verdicts([object.union(erp, {"attributes": {"status": {"phase": "Terminating"}}})], [], []) == {erp.id: "skip"}
	leaving := object.union(erp, {"attributes": {"metadata": {"deletionTimestamp": "2026-11-23T11:00:00Z"}}})
	verdicts([leaving], [], []) == {erp.id: "skip"}
}

test_finding_lists_what_denies_and_what_opens if {
	out := policy("out", {"podSelector": {}, "policyTypes": ["Egress"]})
	a := policy("b", {"egress": [{}]})
	b := policy("a", {"egress": [{}, {}]})
	some finding in found([erp], [out, a, b], [])
	finding.observed == {
		"ingress": {"denying": ["a", "b"], "opening": []},
		"egress": {"denying": ["a", "b", "out"], "opening": ["a egress[0]", "a egress[1]", "b egress[0]"]},
	}
}

test_malformed_or_misplaced_policy_is_an_error if {
	verdicts([erp], [deny, policy("odd", {"ingress": "none"})], []) == {erp.id: "error"}
	verdicts([erp], [deny, json.remove(policy("odd", {}), ["attributes/spec"])], []) == {erp.id: "error"}
	crm := namespace_in("prod", "crm")
	nowhere := json.remove(policy("odd", {}), ["scope/namespace"])
	verdicts([erp, crm], [deny, nowhere], []) == {erp.id: "error", crm.id: "error"}
	verdicts([erp, crm], [deny, policy("odd", {"ingress": "none"})], []) == {erp.id: "error", crm.id: "fail"}
}

test_missing_fact_is_an_error if {
	every path in ["attributes", "attributes/metadata/name", "scope/cluster"] {
		verdicts([json.remove(erp, [path])], [deny], []) == {erp.id: "error"}
	}
	missing := default_deny.findings with input as {
		"resources": {"k8s.core.Namespace": [erp], "k8s.networking.k8s.io.NetworkPolicy": [deny]},
		"params": {},
	}
	{finding.verdict | some finding in missing} == {"error"}
}

test_policies_that_nobody_collects_are_an_error if {
	findings := default_deny.findings with input as {
		"resources": {"k8s.core.Namespace": [erp]},
		"params": {erp.id: {"exempt": []}},
	}
	some finding in findings
	finding.verdict == "error"
	contains(finding.message, "not collected")
}

test_every_namespace_is_judged if {
	ids := default_deny.judged with input as {"resources": {"k8s.core.Namespace": [erp]}}
	ids == {erp.id}
}
