package guardian.lib.workload_test

import future.keywords.not

import data.guardian.lib.workload

template := {"metadata": {"name": "t"}, "spec": {"containers": [{"name": "a"}]}}

test_pod_is_found_in_every_kind_that_has_one if {
	workload.pod({"kind": "k8s.core.Pod", "attributes": template}) == template
	workload.within("k8s.core.Pod") == ""
	every kind in [
		"k8s.core.ReplicationController",
		"k8s.apps.Deployment",
		"k8s.apps.StatefulSet",
		"k8s.apps.DaemonSet",
		"k8s.apps.ReplicaSet",
		"k8s.batch.Job",
	] {
		workload.pod({"kind": kind, "attributes": {"spec": {"template": template}}}) == template
		workload.within(kind) == "spec.template."
	}
	scheduled := {"spec": {"jobTemplate": {"spec": {"template": template}}}}
	workload.pod({"kind": "k8s.batch.CronJob", "attributes": scheduled}) == template
	workload.within("k8s.batch.CronJob") == "spec.jobTemplate.spec.template."
}

test_kind_without_a_pod_has_none if {
	not workload.pod({"kind": "k8s.core.Service", "attributes": template})
	not workload.pod({"kind": "k8s.apps.Deployment"})
}

test_containers_of_all_three_lists_are_found_with_their_place if {
	spec := {
		"initContainers": [{"name": "init"}, {"name": "sidecar", "restartPolicy": "Always"}],
		"containers": [{"name": "app"}],
		"ephemeralContainers": [{"name": "debug"}],
	}
	found := [[container.name, workload.path("", entry)] | some entry in workload.containers(spec); container := entry[2]]
	found == [
		["init", "spec.initContainers[0]"],
		["sidecar", "spec.initContainers[1]"],
		["app", "spec.containers[0]"],
		["debug", "spec.ephemeralContainers[0]"],
	]
	workload.path("spec.template.", ["containers", 12, {}]) == "spec.template.spec.containers[12]"
}

test_absent_and_null_lists_are_complete if {
	workload.complete({"containers": [{"name": "a"}]})
	workload.complete({"containers": [{"name": "a"}], "initContainers": null, "ephemeralContainers": []})
}

test_what_is_no_list_of_containers_is_not_complete if {
	every spec in [
		{},
		{"containers": []},
		{"containers": null},
		{"containers": {"a": {"name": "a"}}},
		{"containers": [{"name": "a"}], "initContainers": {"0": {"name": "b"}}},
		{"containers": [{"name": "a"}], "ephemeralContainers": "x"},
		{"containers": [{"name": "a"}, "b"]},
		{"containers": [{"name": "a"}, {}]},
	] {
		not workload.complete(spec)
	}
}

test_a_pod_with_more_than_any_pod_has_is_a_crowd if {
	many := [{"name": "c"} | some _ in numbers.range(1, 150)]
	workload.crowd({"initContainers": many, "containers": many}) == "has 300 containers, and none may have more than 200"
	volumes := array.concat(many, many)
	workload.crowd({"containers": [{}], "volumes": volumes}) == "has 300 volumes, and none may have more than 200"
}

test_a_large_pod_is_no_crowd if {
	many := [{"name": "c"} | some _ in numbers.range(1, 200)]
	not workload.crowd({"containers": many, "volumes": many})
	not workload.crowd({"containers": "x", "volumes": null})
}

inside(content) := {"metadata": {}, "spec": {"containers": [content, {"name": "b"}]}}

repeated(value, times) := [value | some _ in numbers.range(1, times)]

test_more_ports_capabilities_sysctls_or_profiles_than_any_pod_has_are_a_crowd_within if {
	every entry in [
		[inside({"ports": repeated({"hostPort": 1}, 501)}), "has 501 ports, and none may have more than 500"],
		[inside({"securityContext": {"capabilities": {"add": repeated("A", 251), "drop": repeated("A", 250)}}}), "has 501 cap"],
		[{"spec": {"securityContext": {"sysctls": repeated({}, 201)}}}, "has 201 sysctls, and none may have more than 200"],
		[{"metadata": {"annotations": profiles(201)}}, "has 201 AppArmor annotations"],
	] {
		startswith(workload.crowd_within(object.union({"metadata": {}, "spec": {"containers": []}}, entry[0])), entry[1])
	}
}

profiles(number) := {concat("", [workload.app_armor_annotation, format_int(i, 10)]): "x" | some i in numbers.range(1, number)}

test_a_pod_that_holds_much_is_no_crowd_within if {
	container := {"ports": repeated({}, 250), "securityContext": {"capabilities": {"add": repeated("A", 250)}}}
	not workload.crowd_within({
		"metadata": {"annotations": object.union(profiles(200), {format_int(i, 10): "x" | some i in numbers.range(1, 900)})},
		"spec": {"containers": [container, container], "securityContext": {"sysctls": repeated({}, 200)}},
	})
	not workload.crowd_within({"metadata": "x", "spec": "x"})
	not workload.crowd_within(inside({"ports": "x", "securityContext": {"capabilities": "x"}}))
}
