package guardian.network.database_reach_test

import future.keywords.not

import data.guardian.network.database_reach

inputs := {
	"k8s.core.Pod",
	"k8s.core.ReplicationController",
	"k8s.apps.DaemonSet",
	"k8s.apps.Deployment",
	"k8s.apps.ReplicaSet",
	"k8s.apps.StatefulSet",
	"k8s.core.Namespace",
	"k8s.core.Service",
	"k8s.networking.k8s.io.NetworkPolicy",
}

resource(kind, name, attributes) := {
	"kind": kind,
	"id": sprintf("k8s:prod/%s/erp/%s", [kind, name]),
	"service": "erp",
	"scope": {"cluster": "prod", "namespace": "erp", "labels": {}},
	"attributes": object.union({"metadata": {"name": name, "namespace": "erp"}}, attributes),
}

of_namespace(found, name, service) := object.union(found, {
	"id": concat("", [found.id, "@", name]),
	"service": service,
	"scope": {"namespace": name},
	"attributes": {"metadata": {"namespace": name}},
})

namespace(name, labels, service) := {
	"kind": "k8s.core.Namespace",
	"id": sprintf("k8s:prod/core/Namespace/%s", [name]),
	"service": service,
	"scope": {"cluster": "prod", "namespace": name, "labels": labels},
	"attributes": {"metadata": {"name": name, "labels": labels}},
}

erp := namespace("erp", {}, "erp")

pod_spec(port) := {"containers": [{"name": "main", "ports": [{"name": "main", "containerPort": port}]}]}

workload(kind, name, labels, spec) := resource(kind, name, {"spec": {
	"selector": {"matchLabels": labels},
	"template": {"metadata": {"labels": labels}, "spec": spec},
}})

db := workload("k8s.apps.StatefulSet", "db", {"app": "db"}, pod_spec(5432))

odoo := workload("k8s.apps.Deployment", "odoo", {"app": "odoo"}, pod_spec(8069))

policy(name, spec) := resource("k8s.networking.k8s.io.NetworkPolicy", name, {"spec": spec})

on_db(name, rules) := policy(name, {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": rules})

from(peers) := {"from": peers, "ports": [{"port": 5432}]}

app(name) := {"podSelector": {"matchLabels": {"app": name}}}

right := on_db("db", [from([app("odoo")])])

cluster_ip := resource("k8s.core.Service", "db", {"spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}})

defaults := {"ports": ["5432", "6379"], "allowedNamespaces": [], "allowedBlocks": []}

document(resources, params) := {
	"resources": {kind: [entry | some entry in resources; entry.kind == kind] | some kind in inputs},
	"params": {entry.id: params | some entry in resources},
	"incomplete": [],
}

judge(given) := findings if {
	findings := database_reach.findings with input as given
}

found(resources) := judge(document(resources, defaults))

# What is said of the StatefulSet `db`: a pass where there is no finding.
of_db(findings) := {finding.verdict | some finding in findings; finding.resource == db.id}

passes(resources) if of_db(found(array.concat([erp, db, odoo, cluster_ip], resources))) == set()

fails(resources, words) if failing([erp, db, odoo, cluster_ip], resources, words)

failing(estate, resources, words) if {
	some finding in found(array.concat(estate, resources))
	finding.resource == db.id
	finding.verdict == "fail"
	contains(finding.message, words)
}

test_database_that_only_its_application_reaches_passes if {
	passes([right])
	passes([policy("deny", {}), right])
	passes([policy("deny", {"podSelector": {}, "policyTypes": ["Ingress"]})])
}

test_workload_that_serves_no_database_does_not_apply if {
	some finding in found([erp, odoo])
	finding.verdict == "skip"
	finding.message == "serves no database port"
}

test_database_without_a_policy_fails if {
	fails([], "port 5432 is reached by more than its own service: no NetworkPolicy restricts who reaches it")
	fails([policy("other", {"podSelector": {"matchLabels": {"app": "odoo"}}})], "no NetworkPolicy restricts")
	fails([policy("out", {"policyTypes": ["Egress"]})], "no NetworkPolicy restricts")
}

test_policies_of_another_namespace_or_cluster_do_not_help if {
	fails([of_namespace(right, "crm", "crm")], "no NetworkPolicy restricts")
	fails([object.union(right, {"scope": {"cluster": "stage"}})], "no NetworkPolicy restricts")
}

test_rule_for_everyone_fails_on_its_port_only if {
	fails([on_db("open", [{}])], "NetworkPolicy open ingress[0] admits everyone")
	fails([right, on_db("open", [from([app("odoo")]), {"from": []}])], "NetworkPolicy open ingress[1] admits everyone")
	passes([right, on_db("metrics", [{"ports": [{"port": 9187}]}])])
	fails([right, on_db("range", [{"ports": [{"port": 5000, "endPort": 6000}]}])], "range ingress[0] admits everyone")
	fails([right, on_db("named", [{"ports": [{"port": "main"}]}])], "named ingress[0] admits everyone")
	passes([right, on_db("udp", [{"ports": [{"protocol": "UDP"}]}])])
}

test_rules_that_are_not_for_ingress_open_nothing if {
	passes([right, policy("out", {"policyTypes": ["Egress"], "ingress": [{}]})])
}

test_pods_of_another_service_in_the_namespace_fail if {
	crm := object.union(workload("k8s.apps.Deployment", "crm", {"app": "crm", "db": "yes"}, pod_spec(80)), {"service": "crm"})
	by_label := on_db("label", [from([{"podSelector": {"matchLabels": {"db": "yes"}}}])])
	passes([right, crm])
	fails([by_label, crm], "NetworkPolicy label ingress[0] admits pods of service crm in namespace erp")
	fails([by_label, object.union(crm, {"service": null})], "admits pods of no service in namespace erp")
	fails([on_db("all", [from([{"podSelector": {}}])]), crm], "admits pods of service crm in namespace erp")
	negative := {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["odoo"]}]}}
	fails([on_db("not", [from([negative])]), crm], "admits pods of service crm")
}

test_every_pod_of_the_namespace_may_where_the_namespace_is_of_the_service if {
	whole := on_db("all", [from([{"podSelector": {}}])])
	passes([whole])
	every owner in ["crm", null] {
		failing([namespace("erp", {}, owner), db, odoo], [whole], "admits every pod of namespace erp, which is not known to be")
	}
	failing([db, odoo], [whole], "admits every pod of namespace erp")
}

test_selector_that_only_spares_names_nobody if {
	spares := {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}
	own := on_db("spares", [from([{"podSelector": spares}])])
	passes([own])
	failing([namespace("erp", {}, null), db, odoo], [own], "admits pods that lack a label in namespace erp, which is not known")
	every expression in [
		{"key": "team", "operator": "DoesNotExist"},
		{"key": "kubernetes.io/metadata.name", "operator": "Exists"},
		{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["crm"]},
	] {
		far := {"namespaceSelector": {"matchExpressions": [expression]}}
		fails([on_db("far", [from([far])])], "admits pods of every namespace that lacks a label")
	}
}

test_named_pods_may_where_the_namespace_is_of_no_service if {
	of_db(found([namespace("erp", {}, null), db, odoo, right])) == set()
}

test_what_belongs_to_no_service_is_not_one_service if {
	whole := on_db("all", [from([{"podSelector": {}}])])
	alone := object.union(db, {"service": null})
	failing([namespace("erp", {}, null), alone], [whole], "admits every pod of namespace erp")
}

crm_namespace := namespace("crm", {"team": "crm"}, "crm")

test_other_namespaces_fail_unless_of_the_service_or_listed if {
	peer := on_db("team", [from([{"namespaceSelector": {"matchLabels": {"team": "crm"}}}])])
	fails([peer, crm_namespace], "admits pods of namespace crm, which is not known to be of its service")
	fails([peer, object.union(crm_namespace, {"service": null})], "admits pods of namespace crm")
	passes([peer, object.union(crm_namespace, {"service": "erp"})])
	passes([peer])
	narrower := {"matchLabels": {"team": "crm", "zone": "db"}}
	passes([on_db("both", [from([{"namespaceSelector": narrower}])]), crm_namespace])
	listed := object.union(defaults, {"allowedNamespaces": ["crm"]})
	of_db(judge(document([erp, db, peer, crm_namespace], listed))) == set()
	stray := of_namespace(workload("k8s.apps.Deployment", "x", {"app": "x"}, pod_spec(80)), "crm", "pos")
	fails([peer, object.union(crm_namespace, {"service": "erp"}), stray], "admits pods of service pos in namespace crm")
}

test_namespace_is_known_by_the_label_that_every_server_gives_it if {
	by_name := {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "crm"}}}
	fails([on_db("name", [from([by_name])]), crm_namespace], "admits pods of namespace crm")
	in_list := {"namespaceSelector": {"matchExpressions": [{
		"key": "kubernetes.io/metadata.name",
		"operator": "In",
		"values": ["crm", "pos"],
	}]}}
	fails([on_db("name", [from([in_list])]), crm_namespace], "admits pods of namespace crm")
}

test_every_namespace_fails_whatever_the_pods if {
	fails([on_db("all", [from([{"namespaceSelector": {}}])])], "admits pods of every namespace")
	fails([on_db("all", [from([object.union({"namespaceSelector": {}}, app("odoo"))])])], "admits pods of every namespace")
}

test_namespace_of_another_cluster_is_none if {
	peer := on_db("team", [from([{"namespaceSelector": {"matchLabels": {"team": "crm"}}}])])
	passes([peer, object.union(crm_namespace, {"scope": {"cluster": "stage"}})])
}

test_addresses_fail_unless_within_a_listed_block if {
	block := on_db("block", [from([{"ipBlock": {"cidr": "10.1.0.0/16"}}])])
	fails([block], "admits the addresses 10.1.0.0/16")
	wide := object.union(defaults, {"allowedBlocks": ["10.0.0.0/8"]})
	of_db(judge(document([erp, db, block], wide))) == set()
	narrow := object.union(defaults, {"allowedBlocks": ["10.1.0.0/17", "fd00::/8"]})
	of_db(judge(document([erp, db, block], narrow))) == {"fail"}
}

test_service_reached_from_outside_fails if {
	every type in ["NodePort", "LoadBalancer"] {
		outside := object.union(cluster_ip, {"id": "outside", "attributes": {"spec": {"type": type}}})
		failing([erp, db], [right, outside], sprintf("Service db of type %s leads to it from outside by port 5432", [type]))
	}
	addressed := object.union(cluster_ip, {"id": "outside", "attributes": {"spec": {"externalIPs": ["192.0.2.1"]}}})
	failing([erp, db], [right, addressed], "Service db with externalIPs leads to it from outside")
	elsewhere := resource("k8s.core.Service", "web", {"spec": {
		"type": "LoadBalancer",
		"selector": {"app": "odoo"},
		"ports": [{"port": 5432}],
	}})
	passes([right, elsewhere])
	metrics := resource("k8s.core.Service", "metrics", {"spec": {
		"type": "NodePort",
		"selector": {"app": "db"},
		"ports": [{"port": 9187}],
	}})
	passes([right, metrics])
}

test_host_network_and_host_port_fail if {
	host := object.union(db, {"attributes": {"spec": {"template": {"spec": {"hostNetwork": true}}}}})
	failing([erp, host], [right], "it uses the host's network")
	taking := {"containers": [{"ports": [{"containerPort": 5432, "hostPort": 15432}]}]}
	port := object.union(db, {"attributes": {"spec": {"template": {"spec": taking}}}})
	failing([erp, port], [right], "it takes port 5432 on the host (hostPort)")
}

test_host_port_that_a_server_adds_to_the_host_network_changes_nothing if {
	host := object.union(db, {"attributes": {"spec": {"template": {"spec": {"hostNetwork": true}}}}})
	live := object.union(host, {"attributes": {"spec": {"template": {"spec": {"containers": [{"ports": [{
		"name": "main",
		"containerPort": 5432,
		"hostPort": 5432,
		"protocol": "TCP",
	}]}]}}}}})
	found([erp, host, right]) == found([erp, live, right])
}

silent := object.union(db, {"attributes": {"spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}})

leading(ports) := resource("k8s.core.Service", "db", {"spec": {"selector": {"app": "db"}, "ports": ports}})

test_other_ports_of_a_database_service_are_no_database if {
	both := leading([{"port": 5432}, {"port": 9187}])
	some finding in found([erp, silent, both])
	finding.observed.ports == [5432]
}

test_service_tells_of_a_database_that_the_pods_do_not_declare if {
	failing([erp, silent], [leading([{"port": 5432}])], "port 5432 is reached")
	failing([erp, silent], [leading([{"port": 5432, "targetPort": 15432}])], "port 15432 is reached")
	failing([erp, silent], [leading([{"port": 80, "targetPort": 6379}])], "port 6379 is reached")
	odd := object.union(db, {"attributes": {"spec": {"template": {"spec": pod_spec(15432)}}}})
	failing([erp, odd], [leading([{"port": 5432, "targetPort": "main"}])], "port 15432 is reached")
	of_db(found([erp, silent, leading([{"port": 80}])])) == {"skip"}
	of_db(found([erp, silent, leading([{"port": 5432, "protocol": "UDP"}])])) == {"skip"}
	of_db(found([erp, silent, leading([{"port": 80, "targetPort": "none"}])])) == {"skip"}
}

test_every_container_and_every_kind_of_workload_counts if {
	sidecar := {"containers": [{"name": "main"}], "initContainers": [{"name": "redis", "ports": [{"containerPort": 6379}]}]}
	every kind in ["k8s.apps.Deployment", "k8s.apps.DaemonSet", "k8s.apps.ReplicaSet", "k8s.core.ReplicationController"] {
		some finding in found([erp, workload(kind, "cache", {"app": "cache"}, sidecar)])
		finding.verdict == "fail"
	}
	pod := resource("k8s.core.Pod", "cache", {"metadata": {"labels": {"app": "cache"}}, "spec": sidecar})
	some finding in found([erp, pod])
	finding.verdict == "fail"
}

owned(labels, kind, name, spec) := resource("k8s.core.Pod", "db-0", {
	"metadata": {
		"labels": labels,
		"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true}],
	},
	"spec": spec,
})

labels_of_pod := {"app": "db", "statefulset.kubernetes.io/pod-name": "db-0"}

of_pod(findings) := {finding.verdict | some finding in findings; contains(finding.resource, "Pod/erp/db-0")}

test_pod_of_a_workload_in_the_snapshot_is_judged_as_that if {
	pod := owned(labels_of_pod, "StatefulSet", "db", pod_spec(5432))
	some finding in found([erp, db, pod])
	finding.resource == pod.id
	finding.verdict == "skip"
	finding.message == concat(" ", ["judged as", db.id])
}

test_replica_set_and_its_pods_are_judged_as_the_deployment if {
	cache := workload("k8s.apps.Deployment", "cache", {"app": "db"}, pod_spec(6379))
	replicas := object.union(
		workload("k8s.apps.ReplicaSet", "cache-1", {"app": "db", "hash": "1"}, pod_spec(6379)),
		{"attributes": {"metadata": {"ownerReferences": [{
			"apiVersion": "apps/v1",
			"kind": "Deployment",
			"name": "cache",
			"controller": true,
		}]}}},
	)
	pod := owned({"app": "db", "hash": "1"}, "ReplicaSet", "cache-1", pod_spec(6379))
	verdicts := {finding.resource: finding.verdict | some finding in found([erp, cache, replicas, pod])}
	verdicts == {cache.id: "fail", replicas.id: "skip", pod.id: "skip"}
}

test_owner_reference_alone_proves_nothing if {
	every pod in [
		owned({"app": "spy"}, "StatefulSet", "db", pod_spec(5432)),
		owned(labels_of_pod, "StatefulSet", "gone", pod_spec(5432)),
		owned(labels_of_pod, "Database", "db", pod_spec(5432)),
		owned(labels_of_pod, "StatefulSet", "db", pod_spec(6379)),
		owned(labels_of_pod, "StatefulSet", "db", object.union(pod_spec(5432), {"hostNetwork": true})),
		object.union(owned(labels_of_pod, "StatefulSet", "db", pod_spec(5432)), {"service": "crm"}),
		object.union(owned(labels_of_pod, "StatefulSet", "db", pod_spec(5432)), {"scope": {"cluster": "stage"}}),
	] {
		of_pod(found([erp, db, pod])) == {"fail"}
	}
	uncontrolled := owned(labels_of_pod, "StatefulSet", "db", pod_spec(5432))
	shared := object.union(uncontrolled, {"attributes": {"metadata": {"ownerReferences": [{
		"apiVersion": "apps/v1",
		"kind": "StatefulSet",
		"name": "db",
	}]}}})
	of_pod(found([erp, db, shared])) == {"fail"}
}

test_pods_of_every_controller_that_stays_are_judged_as_it if {
	daemons := workload("k8s.apps.DaemonSet", "db", {"app": "db"}, pod_spec(5432))
	of_daemons := owned(labels_of_pod, "DaemonSet", "db", pod_spec(5432))
	of_pod(found([erp, daemons, of_daemons])) == {"skip"}
	template := {"template": {"metadata": {"labels": {"app": "db"}}, "spec": pod_spec(5432)}}
	reference := {"apiVersion": "v1", "kind": "ReplicationController", "name": "db", "controller": true}
	replica := object.union(of_daemons, {"attributes": {"metadata": {"ownerReferences": [reference]}}})
	every selecting in [{}, {"selector": null}, {"selector": {}}, {"selector": {"app": "db"}}] {
		replicas := resource("k8s.core.ReplicationController", "db", {"spec": object.union(template, selecting)})
		of_pod(found([erp, replicas, replica])) == {"skip"}
		stray := object.union(replica, {"attributes": {"metadata": {"labels": {"app": "spy"}}}})
		of_pod(found([erp, replicas, stray])) == {"fail"}
	}
	other := resource("k8s.core.ReplicationController", "db", {"spec": object.union(template, {"selector": {"app": "x"}})})
	of_pod(found([erp, other, replica])) == {"fail"}
}

test_pod_that_takes_a_host_port_its_owner_does_not_is_judged_itself if {
	taking := {"containers": [{"ports": [{"containerPort": 5432, "hostPort": 5432}]}]}
	of_pod(found([erp, db, odoo, right, owned(labels_of_pod, "StatefulSet", "db", taking)])) == {"fail"}
}

test_pod_under_another_policy_than_its_owner_is_judged_itself if {
	pod := owned(labels_of_pod, "StatefulSet", "db", pod_spec(5432))
	extra := policy("extra", {
		"podSelector": {"matchLabels": {"statefulset.kubernetes.io/pod-name": "db-0"}},
		"ingress": [{}],
	})
	of_pod(found([erp, db, odoo, right, pod])) == {"skip"}
	of_pod(found([erp, db, odoo, right, pod, extra])) == {"fail"}
}

test_finding_lists_ports_policies_and_all_problems_sorted if {
	two := {"containers": [{"ports": [{"containerPort": 6379}, {"containerPort": 5432}]}]}
	both := object.union(db, {"attributes": {"spec": {"template": {"spec": two}}}})
	rules := [{"from": [{"ipBlock": {"cidr": concat("", ["10.0.0.", format_int(n, 10), "/32"])}}]} |
		some n in numbers.range(1, 7)
	]
	some finding in found([erp, both, on_db("b", rules), on_db("a", [])])
	finding.verdict == "fail"
	finding.observed.ports == [5432, 6379]
	finding.observed.policies == ["a", "b"]
	count(finding.observed.problems) == 7
	startswith(finding.message, "port 5432, 6379 is reached")
	endswith(finding.message, "; and 2 more")
	finding.expected == {"service": "erp", "allowedNamespaces": [], "allowedBlocks": []}
}

test_kinds_that_could_not_be_read_are_an_error if {
	every kind in ["k8s.core.Namespace", "k8s.core.Service", "k8s.networking.k8s.io.NetworkPolicy"] {
		partial := object.union(document([erp, db, odoo, right], defaults), {"incomplete": [kind]})
		of_db(judge(partial)) == {"error"}
		uncollected := json.remove(document([erp, db, odoo, right], defaults), [["resources", kind]])
		of_db(judge(uncollected)) == {"error"}
	}
	partial := object.union(document([erp, db, right], defaults), {"incomplete": ["k8s.core.Pod"]})
	of_db(judge(partial)) == {"error"}
	failing_anyway := object.union(document([erp, db], defaults), {"incomplete": ["k8s.core.Pod"]})
	of_db(judge(failing_anyway)) == {"fail"}
}

test_malformed_neighbours_are_an_error if {
	every odd in [
		policy("odd", {"ingress": "all"}),
		resource("k8s.core.Service", "odd", {"spec": {"ports": [{"port": "http"}]}}),
		resource("k8s.core.Service", "odd", {"spec": {"ports": [{"port": 80}], "selector": ["x"]}}),
		json.remove(policy("odd", {}), ["scope/cluster"]),
		json.remove(namespace("odd", {}, null), ["attributes/metadata/name"]),
		workload("k8s.apps.Deployment", "odd", {"app": 7}, pod_spec(80)),
	] {
		of_db(found([erp, db, odoo, right, odd])) == {"error"}
	}
	elsewhere := of_namespace(policy("odd", {"ingress": "all"}), "crm", "crm")
	passes([right, elsewhere])
}

test_missing_fact_is_an_error if {
	every path in [
		"attributes",
		"attributes/spec/template",
		"attributes/spec/template/spec/containers",
		"attributes/spec/template/spec/containers/0/ports/0/containerPort",
		"scope/namespace",
		"scope/cluster",
		"service",
	] {
		of_db(found([erp, json.remove(db, [path]), odoo, right])) == {"error"}
	}
	every params in [{}, object.union(defaults, {"ports": ["postgres"]}), object.union(defaults, {"ports": null})] {
		of_db(judge(document([erp, db, odoo, right], params))) == {"error"}
	}
}

test_every_workload_is_judged if {
	pod := resource("k8s.core.Pod", "x", {"spec": pod_spec(80)})
	ids := database_reach.judged with input as document([erp, db, odoo, pod, right, cluster_ip], defaults)
	ids == {db.id, odoo.id, pod.id}
}
