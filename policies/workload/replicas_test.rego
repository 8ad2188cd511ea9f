package guardian.workload.replicas_test

import future.keywords.not

import data.guardian.workload.replicas

scope := {"cluster": "c", "namespace": "erp"}

odoo := {"app": "odoo"}

apart := {
	"maxSkew": 1,
	"topologyKey": "kubernetes.io/hostname",
	"whenUnsatisfiable": "DoNotSchedule",
	"labelSelector": {"matchLabels": odoo},
}

deployment(changes) := deployment_named("odoo", changes)

deployment_named(name, changes) := {
	"kind": "k8s.apps.Deployment",
	"id": name,
	"scope": scope,
	"attributes": {"spec": object.union(
		{
			"replicas": 2,
			"selector": {"matchLabels": {"app": name}},
			"template": {"metadata": {"labels": {"app": name}}, "spec": {}},
		},
		changes,
	)},
}

budget(spec) := {
	"kind": "k8s.policy.PodDisruptionBudget",
	"id": "budget",
	"scope": scope,
	"attributes": {"metadata": {"name": "odoo"}, "spec": spec},
}

one_at_a_time := budget({"maxUnavailable": 1, "selector": {"matchLabels": odoo}})

pod(name, node) := {
	"kind": "k8s.core.Pod",
	"id": name,
	"scope": scope,
	"attributes": {"metadata": {"labels": odoo}, "spec": {"nodeName": node}, "status": {"phase": "Running"}},
}

node(name, zone) := {
	"kind": "k8s.core.Node",
	"id": name,
	"scope": {"cluster": "c"},
	"attributes": {"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}},
}

two_zones := [node("n1", "a"), node("n2", "b"), node("n3", "a")]

two_pods := [pod("p1", "n1"), pod("p2", "n2")]

right := {
	"k8s.apps.Deployment": [deployment({})],
	"k8s.apps.StatefulSet": [],
	"k8s.core.Pod": two_pods,
	"k8s.core.Node": two_zones,
	"k8s.policy.PodDisruptionBudget": [one_at_a_time],
}

found(changes) := asked(changes, 2, [])

asked(changes, minimum, incomplete) := findings if {
	findings := replicas.findings with input as {
		"resources": object.union(right, changes),
		"params": {"odoo": {"minReplicas": minimum}, "crm": {"minReplicas": minimum}},
		"incomplete": incomplete,
	}
}

verdicts(changes) := [finding.verdict | some finding in found(changes)]

message(changes) := text if {
	some finding in found(changes)
	finding.verdict == "fail"
	text := finding.message
}

test_spread_and_protected_deployment_passes if {
	verdicts({}) == []
}

test_too_few_replicas_fail_and_absent_ones_are_one if {
	message({"k8s.apps.Deployment": [deployment({"replicas": 1})]}) == "replicas is 1, at least 2 are asked for"
	every few in [1, null, -1] {
		contains(message({"k8s.apps.Deployment": [deployment({"replicas": few})]}), "at least 2 are asked for")
	}
	every some_number in [1, 2] {
		asked({"k8s.apps.Deployment": [deployment({"replicas": some_number})]}, 3, []) != set()
	}
}

test_deployment_scaled_to_nothing_does_not_apply if {
	verdicts({"k8s.apps.Deployment": [deployment({"replicas": 0})]}) == ["skip"]
}

test_where_one_replica_is_enough_nothing_else_is_asked_for if {
	alone := {
		"k8s.apps.Deployment": [deployment({"replicas": 1})],
		"k8s.policy.PodDisruptionBudget": [],
		"k8s.core.Pod": [pod("p1", "n1")],
	}
	asked(alone, 1, []) == set()
}

test_deployment_without_a_budget_fails if {
	every budgets in [
		[],
		[budget({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "crm"}}})],
		[budget({"maxUnavailable": 1, "selector": null})],
		[budget({"maxUnavailable": 1})],
		[object.union(one_at_a_time, {"scope": {"namespace": "other"}})],
		[object.union(one_at_a_time, {"scope": {"cluster": "other"}})],
	] {
		message({"k8s.policy.PodDisruptionBudget": budgets}) == "no PodDisruptionBudget selects its pods"
	}
}

test_empty_selector_and_expressions_select if {
	every chosen in [{}, {"matchExpressions": [{"key": "app", "operator": "In", "values": ["odoo"]}]}] {
		verdicts({"k8s.policy.PodDisruptionBudget": [budget({"maxUnavailable": 1, "selector": chosen})]}) == []
	}
}

budgeted(spec) := {"k8s.policy.PodDisruptionBudget": [budget(object.union({"selector": {"matchLabels": odoo}}, spec))]}

test_budget_that_keeps_a_pod_protects if {
	every spec in [
		{"minAvailable": 1},
		{"minAvailable": 2},
		{"minAvailable": "50%"},
		{"minAvailable": "1%"},
		{"maxUnavailable": 0},
		{"maxUnavailable": "50%"},
	] {
		verdicts(budgeted(spec)) == []
	}
}

test_budget_that_lets_all_pods_go_fails if {
	every spec in [
		{"maxUnavailable": 2},
		{"maxUnavailable": "100%"},
		{"maxUnavailable": "51%"},
		{"minAvailable": 0},
		{"minAvailable": "0%"},
		{},
		{"maxUnavailable": "1"},
		{"maxUnavailable": "-1%"},
		{"maxUnavailable": "lots"},
		{"minAvailable": -1},
	] {
		message(budgeted(spec)) == "PodDisruptionBudget odoo lets all its pods be evicted at once"
	}
}

test_budget_over_several_workloads_is_counted_over_all if {
	spanning := budget({"minAvailable": 1, "selector": {}})
	stateful := object.union(deployment_named("db", {}), {"kind": "k8s.apps.StatefulSet"})
	every others in [
		{"k8s.apps.Deployment": [deployment({}), deployment_named("crm", {})]},
		{"k8s.apps.StatefulSet": [stateful]},
	] {
		some finding in found(object.union({"k8s.policy.PodDisruptionBudget": [spanning]}, others))
		finding.resource == "odoo"
		finding.message == "PodDisruptionBudget odoo lets all its pods be evicted at once"
		finding.observed.budgets == [{"name": "odoo", "evictable": 3}]
	}
	verdicts({"k8s.policy.PodDisruptionBudget": [spanning]}) == []
}

test_pods_on_one_node_fail if {
	together := [pod("p1", "n1"), pod("p2", "n1")]
	message({"k8s.core.Pod": together}) == "all its running pods are on node n1"
	some finding in found({"k8s.core.Pod": together, "k8s.core.Node": [node("n1", "a")]})
	finding.message == "all its running pods are on node n1, the only one of the cluster"
	finding.observed.clusterNodes == 1
	finding.observed.running == [{"node": "n1", "pod": "p1"}, {"node": "n1", "pod": "p2"}]
}

test_pods_in_one_zone_fail_only_where_the_cluster_has_several if {
	one_zone := [pod("p1", "n1"), pod("p2", "n3")]
	message({"k8s.core.Pod": one_zone}) == "all its running pods are in zone a"
	verdicts({"k8s.core.Pod": one_zone, "k8s.core.Node": [node("n1", "a"), node("n3", "a")]}) == []
	plain := [{"id": name, "scope": scope, "attributes": {"metadata": {"name": name}}} | some name in ["n1", "n3"]]
	verdicts({"k8s.core.Pod": one_zone, "k8s.core.Node": plain}) == []
}

test_only_its_own_running_pods_count if {
	elsewhere := object.union(pod("p2", "n2"), {"scope": {"namespace": "other"}})
	every other in [
		elsewhere,
		object.union(pod("p2", "n2"), {"scope": {"cluster": "other"}}),
		object.union(pod("p2", "n2"), {"attributes": {"metadata": {"labels": {"app": "crm"}}}}),
		object.union(pod("p2", "n2"), {"attributes": {"status": {"phase": "Pending"}}}),
		object.union(pod("p2", "n2"), {"attributes": {"metadata": {"deletionTimestamp": "2026-11-23T10:00:00Z"}}}),
	] {
		message({"k8s.core.Pod": [pod("p1", "n1"), other]}) == "all its running pods are on node n1"
	}
}

test_no_running_pod_is_an_error_but_where_the_scheduler_must_keep_them_apart if {
	some finding in found({"k8s.core.Pod": []})
	finding.verdict == "error"
	contains(finding.message, "nothing in its template makes the scheduler keep its pods apart")
	every spec in [
		{"topologySpreadConstraints": [apart]},
		{"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
			"topologyKey": "topology.kubernetes.io/zone",
			"labelSelector": {"matchLabels": odoo},
		}]}}},
	] {
		kept := deployment({"template": {"spec": spec}})
		verdicts({"k8s.core.Pod": [], "k8s.apps.Deployment": [kept]}) == []
		message({"k8s.core.Pod": [pod("p1", "n1")], "k8s.apps.Deployment": [kept]}) == "all its running pods are on node n1"
	}
}

test_what_the_scheduler_only_prefers_or_that_misses_its_pods_proves_nothing if {
	every change in [
		{"whenUnsatisfiable": "ScheduleAnyway"},
		{"maxSkew": 2},
		{"topologyKey": "kubernetes.io/os"},
		{"labelSelector": {"matchLabels": {"app": "crm"}}},
		{"labelSelector": null},
	] {
		loose := deployment({"template": {"spec": {"topologySpreadConstraints": [object.union(apart, change)]}}})
		verdicts({"k8s.core.Pod": [], "k8s.apps.Deployment": [loose]}) == ["error"]
	}
}

test_kind_that_was_not_all_read_is_an_error_but_a_known_failure_counts_more if {
	every kind in ["k8s.policy.PodDisruptionBudget", "k8s.apps.StatefulSet", "k8s.core.Pod", "k8s.core.Node"] {
		some finding in asked({}, 2, [kind])
		finding.verdict == "error"
		some failing in asked({"k8s.apps.Deployment": [deployment({"replicas": 1})]}, 2, [kind])
		failing.verdict == "fail"
		missing := object.remove(right, [kind])
		some lost in replicas.findings with input as {
			"resources": missing,
			"params": {"odoo": {"minReplicas": 2}},
			"incomplete": [],
		}
		lost.verdict == "error"
	}
	asked({"k8s.policy.PodDisruptionBudget": []}, 2, ["k8s.policy.PodDisruptionBudget"]) != set()
}

test_missing_facts_are_errors if {
	every spec in [{"replicas": "two"}, {"template": "x"}, {"selector": null}] {
		some finding in found({"k8s.apps.Deployment": [deployment(spec)]})
		finding.verdict in {"error", "fail"}
	}
	verdicts({"k8s.apps.Deployment": [{"id": "odoo", "scope": scope, "attributes": {}}]}) == ["error"]
	some finding in replicas.findings with input as {"resources": right, "params": {}, "incomplete": []}
	finding.verdict == "error"
}

test_every_deployment_is_judged if {
	ids := replicas.judged with input as {"resources": right, "params": {}, "incomplete": []}
	ids == {"odoo"}
}
