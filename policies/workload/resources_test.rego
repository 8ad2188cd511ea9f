package guardian.workload.resources_test

import future.keywords.not

import data.guardian.workload.resources

params := {"maxCpu": [4, 0], "maxMemory": [8589934592, 0]}

right := {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}

pod(content) := {"kind": "k8s.core.Pod", "id": "k8s:c/core/Pod/erp/odoo", "attributes": {"spec": content}}

with_resources(given) := pod({"containers": [{"name": "odoo", "resources": given}]})

found(resource) := findings if {
	findings := resources.findings with input as {"resource": resource, "params": params}
}

verdicts(resource) := [finding.verdict | some finding in found(resource)]

# What a finding says of each field.
observed(resource) := {entry.field: entry.value |
	some finding in found(resource)
	finding.verdict == "fail"
	some entry in finding.observed
}

test_container_with_requests_and_memory_limit_passes if {
	verdicts(with_resources(right)) == []
	verdicts(with_resources(object.union(right, {"limits": {"cpu": "4"}}))) == []
	verdicts(with_resources(object.union(right, {"limits": {"memory": "8Gi"}}))) == []
}

test_each_missing_value_fails_and_is_named if {
	observed(with_resources({})) == {
		"spec.containers[0].resources.requests.cpu": null,
		"spec.containers[0].resources.requests.memory": null,
		"spec.containers[0].resources.limits.memory": null,
	}
	observed(with_resources({"requests": {"cpu": "1", "memory": "1Gi"}})) == {"spec.containers[0].resources.limits.memory": null}
	observed(with_resources({"limits": {"memory": "1Gi"}})) == {"spec.containers[0].resources.requests.cpu": null}
	verdicts(pod({"containers": [{"name": "odoo"}]})) == ["fail"]
	verdicts(with_resources(null)) == ["fail"]
	verdicts(with_resources("x")) == ["fail"]
	verdicts(with_resources({"requests": null, "limits": []})) == ["fail"]
}

test_limit_stands_for_a_request_as_in_kubernetes if {
	verdicts(with_resources({"limits": {"cpu": "1", "memory": "1Gi"}})) == []
}

test_zero_is_as_nothing if {
	observed(with_resources({"requests": {"cpu": "0", "memory": "0Mi"}, "limits": {"memory": 0}})) == {
		"spec.containers[0].resources.requests.cpu": "0",
		"spec.containers[0].resources.requests.memory": "0",
		"spec.containers[0].resources.limits.memory": "0",
	}
}

test_limit_beyond_the_maximum_fails_in_whatever_unit if {
	every memory in ["8193Mi", "9Gi", "8589934592001m", "1e10", "1Ei"] {
		some field, _ in observed(with_resources(object.union(right, {"limits": {"memory": memory}})))
		field == "spec.containers[0].resources.limits.memory"
	}
	every cpu in ["4001m", "5", "4.000000001"] {
		some field, _ in observed(with_resources(object.union(right, {"limits": {"cpu": cpu}})))
		field == "spec.containers[0].resources.limits.cpu"
	}
}

test_message_tells_what_where_and_how_much if {
	some finding in found(with_resources({"limits": {"memory": "16384Mi", "cpu": "8000m"}, "requests": {"cpu": "0"}}))
	finding.message == concat("", [
		"not set: container odoo spec.containers[0].resources.requests.cpu; ",
		"beyond the maximum of 4: container odoo spec.containers[0].resources.limits.cpu; ",
		"beyond the maximum of 8Gi: container odoo spec.containers[0].resources.limits.memory",
	])
	finding.expected.maximum == {"cpu": "4", "memory": "8Gi"}
	finding.observed == [
		{"container": "odoo", "field": "spec.containers[0].resources.limits.cpu", "value": "8"},
		{"container": "odoo", "field": "spec.containers[0].resources.limits.memory", "value": "16Gi"},
		{"container": "odoo", "field": "spec.containers[0].resources.requests.cpu", "value": "0"},
	]
}

test_init_containers_and_sidecars_count_and_ephemeral_containers_do_not if {
	content := {
		"containers": [{"name": "odoo", "resources": right}],
		"initContainers": [{"name": "migrate", "resources": right}, {"name": "logs", "restartPolicy": "Always"}],
		"ephemeralContainers": [{"name": "debug"}],
	}
	deployment := {"kind": "k8s.apps.Deployment", "id": "x", "attributes": {"spec": {"template": {"spec": content}}}}
	object.keys(observed(deployment)) == {
		"spec.template.spec.initContainers[1].resources.requests.cpu",
		"spec.template.spec.initContainers[1].resources.requests.memory",
		"spec.template.spec.initContainers[1].resources.limits.memory",
	}
}

# A pod with resources of its own and a container without.
whole(given) := pod({"resources": given, "containers": [{"name": "odoo"}]})

test_resources_of_the_pod_stand_for_those_of_its_containers if {
	verdicts(whole(right)) == []
	verdicts(whole({"limits": {"cpu": "1", "memory": "1Gi"}})) == []
	observed(whole({"requests": {"cpu": "1", "memory": "1Gi"}})) == {"spec.containers[0].resources.limits.memory": null}
	observed(whole({"limits": {"memory": "1Gi"}})) == {"spec.containers[0].resources.requests.cpu": null}
	observed(whole(object.union(right, {"limits": {"memory": "9Gi"}}))) == {"spec.resources.limits.memory": "9Gi"}
}

test_pod_with_limits_requests_what_its_containers_do if {
	content := {
		"resources": {"limits": {"memory": "4Gi"}},
		"containers": [{"name": "odoo", "resources": {"requests": {"cpu": "1"}}}, {"name": "logs"}],
	}
	verdicts(pod(content)) == []
	verdicts(pod(object.union(content, {"resources": {"requests": {"cpu": "1", "memory": "4Gi"}}}))) == []
	verdicts(pod(object.remove(content, ["resources"]))) == ["fail"]
}

test_what_is_no_quantity_is_an_error_that_names_it if {
	every junk in ["lots", "-1", "1 Gi", true, {"$redacted": "x"}] {
		some finding in found(with_resources(object.union(right, {"limits": {"memory": junk}})))
		finding.verdict == "error"
		finding.message == "no quantity of Kubernetes: container odoo spec.containers[0].resources.limits.memory"
	}
	verdicts(with_resources(object.union(right, {"requests": {"cpu": "x"}}))) == ["error"]
	verdicts(whole(object.union(right, {"limits": {"cpu": "x"}}))) == ["error"]
}

test_a_known_failure_counts_more_than_what_is_no_quantity if {
	verdicts(with_resources({"requests": {"cpu": "x", "memory": "1Gi"}})) == ["fail"]
}

test_missing_or_garbled_pod_is_an_error if {
	verdicts(pod({})) == ["error"]
	verdicts(pod({"containers": "x"})) == ["error"]
	verdicts(pod({"containers": [{"resources": right}]})) == ["error"]
	verdicts(pod({"containers": [{"name": "a", "resources": right}], "initContainers": "x"})) == ["error"]
	verdicts({"kind": "k8s.apps.Deployment", "id": "x", "attributes": {"spec": {}}}) == ["error"]
	verdicts({"kind": "k8s.core.Service", "id": "x", "attributes": {"spec": {}}}) == ["error"]
}

test_missing_parameter_is_an_error if {
	every given in [{}, {"maxCpu": [4, 0]}, {"maxCpu": [4, 0], "maxMemory": "8Gi"}] {
		some finding in resources.findings with input as {"resource": with_resources(right), "params": given}
		finding.verdict == "error"
	}
}

test_finding_names_fifty_fields_and_says_how_many_more if {
	greedy := [{"name": sprintf("c%d", [i]), "resources": {"limits": {"memory": "9Ti"}}} | some i in numbers.range(1, 100)]
	some finding in found(pod({"containers": greedy}))
	count(finding.observed) == 50
	endswith(finding.message, "; and 150 more")
	count(finding.message) < 10000
	wrong := [{"name": sprintf("c%d", [i]), "resources": {"requests": {"cpu": "x"}}} | some i in numbers.range(1, 100)]
	full := [object.union(container, {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}) | some container in wrong]
	some other in found(pod({"containers": full}))
	other.verdict == "error"
	endswith(other.message, "; and 50 more")
}
