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
