package guardian.lib.endpoint_test

import future.keywords.not

import data.guardian.lib.endpoint

pod(spec) := {
	"kind": "k8s.core.Pod",
	"service": null,
	"scope": {"cluster": "prod", "namespace": "erp"},
	"attributes": {"metadata": {"labels": {"app": "db"}}, "spec": spec},
}

bare := {"containers": [{"name": "main", "ports": [{"containerPort": 5432}, {"containerPort": 53, "protocol": "UDP"}]}]}

filled := {
	"hostNetwork": false,
	"initContainers": [],
	"containers": [{"name": "main", "ports": [
		{"containerPort": 5432, "protocol": "TCP", "hostPort": 0},
		{"containerPort": 53, "protocol": "UDP"},
	]}],
}

test_pods_are_the_same_with_and_without_defaults if {
	endpoint.pods(pod(bare)) == endpoint.pods(pod(filled))
	endpoint.pods(pod(bare)) == {
		"place": ["prod", "erp"],
		"labels": {"app": "db"},
		"service": null,
		"ports": {["", 5432]},
		"hostNetwork": false,
		"hostPorts": set(),
	}
}

test_malformed_pods_are_unknown if {
	every spec in [
		null,
		{},
		{"containers": []},
		{"containers": ["main"]},
		{"containers": [{"ports": {}}]},
		{"containers": [{"ports": [{"containerPort": "5432"}]}]},
		{"containers": [{"ports": [{"containerPort": 5432, "protocol": "tcp"}]}]},
		{"containers": [{"ports": [{"containerPort": 5432, "name": 7}]}]},
		{"containers": [{}], "initContainers": "x"},
		{"containers": [{}], "hostNetwork": "yes"},
	] {
		not endpoint.pods(pod(spec))
	}
}

service(spec) := {
	"scope": {"cluster": "prod", "namespace": "erp"},
	"attributes": {"metadata": {"name": "db"}, "spec": spec},
}

test_services_are_the_same_with_and_without_defaults if {
	written := service({"selector": {"app": "db"}, "ports": [{"port": 5432}]})
	live := service({
		"type": "ClusterIP",
		"selector": {"app": "db"},
		"ports": [{"port": 5432, "targetPort": 5432, "protocol": "TCP"}],
	})
	endpoint.service(written) == endpoint.service(live)
}

test_service_leads_to_the_pods_it_selects_by_number_and_name if {
	named := endpoint.pods(pod({"containers": [{"ports": [{"containerPort": 5432, "name": "db"}]}]}))
	by_name := endpoint.service(service({"selector": {"app": "db"}, "ports": [{"port": 1, "targetPort": "db"}]}))
	by_number := endpoint.service(service({"selector": {"app": "db"}, "ports": [{"port": 1, "targetPort": 9}, {"port": 2}]}))
	endpoint.leads_to(by_name, named) == {[1, 5432]}
	endpoint.leads_to(by_number, named) == {[1, 9], [2, 2]}
	endpoint.leads_to(by_name, endpoint.pods(pod(bare))) == set()
}

test_service_without_a_selector_or_elsewhere_leads_nowhere if {
	pods := endpoint.pods(pod(bare))
	every found in [
		service({"ports": [{"port": 5432}]}),
		service({"selector": {}, "ports": [{"port": 5432}]}),
		service({"selector": {"app": "web"}, "ports": [{"port": 5432}]}),
		object.union(service({"selector": {"app": "db"}, "ports": [{"port": 5432}]}), {"scope": {"namespace": "crm"}}),
	] {
		endpoint.leads_to(endpoint.service(found), pods) == set()
	}
}

test_way_from_outside_is_told if {
	endpoint.outside({}) == null
	endpoint.outside({"type": "ExternalName", "externalName": "db.example.org"}) == null
	endpoint.outside({"type": "ClusterIP", "externalIPs": []}) == null
	endpoint.outside({"type": "NodePort"}) == "of type NodePort"
	endpoint.outside({"externalIPs": ["192.0.2.1"]}) == "with externalIPs"
	not endpoint.outside({"type": "Tunnel"}) == null
}
