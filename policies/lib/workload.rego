# METADATA
# scope: package
# title: Pods and pod templates of workloads
# description: |
#   A Pod and the template of every kind that makes pods are read alike. What is absent, null and what the API server
#   would fill in are the same. Paths are built only for what is wrong, because a verdict is waited for at admission.
package guardian.lib.workload

import future.keywords.not

template_path := {
	"k8s.core.ReplicationController": ["spec", "template"],
	"k8s.apps.Deployment": ["spec", "template"],
	"k8s.apps.StatefulSet": ["spec", "template"],
	"k8s.apps.DaemonSet": ["spec", "template"],
	"k8s.apps.ReplicaSet": ["spec", "template"],
	"k8s.batch.Job": ["spec", "template"],
	"k8s.batch.CronJob": ["spec", "jobTemplate", "spec", "template"],
}

# pod(resource) is the Pod, or the template of its pods: an object with metadata and spec. Undefined for other kinds.
pod(resource) := resource.attributes if {
	resource.kind == "k8s.core.Pod"
} else := object.get(resource.attributes, template_path[resource.kind], null)

# within(kind) is where pod() stands in the attributes, to put before the path of a field: "" or "spec.template.".
within(kind) := "" if {
	kind == "k8s.core.Pod"
} else := concat("", [concat(".", template_path[kind]), "."])

groups := ["initContainers", "containers", "ephemeralContainers"]

# containers(spec) is every container of a pod, as [group, index, container].
containers(spec) := [[group, index, container] |
	some group in groups
	some index, container in spec[group]
]

# complete(spec): containers(spec) holds all there are, each an object with a name, and there is at least one.
complete(spec) if {
	is_array(spec.containers)
	count(spec.containers) > 0
	optional_array(spec, "initContainers")
	optional_array(spec, "ephemeralContainers")
	every entry in containers(spec) {
		is_string(entry[2].name)
	}
}

# optional_array(object, key): what stands at key is an array, or nothing.
optional_array(parent, key) if is_array(parent[key])

optional_array(parent, key) if object.get(parent, key, null) == null

# optional_objects(object, key): what stands at key is an array of objects, or nothing.
optional_objects(parent, key) if {
	is_array(parent[key])
	every item in parent[key] {
		is_object(item)
	}
}

optional_objects(parent, key) if object.get(parent, key, null) == null

# path(prefix, entry) is where a container stands: spec.template.spec.containers[0].
path(prefix, entry) := concat("", [prefix, "spec.", entry[0], "[", format_int(entry[1], 10), "]"])

# crowd(spec) says that a pod has more containers or volumes than are judged one by one. No real pod comes near; but one
# that took longer than anybody waits to judge would be a way past admission.
crowd(spec) := too_many([[listed(spec, groups), "containers", most], [listed(spec, ["volumes"]), "volumes", most]])

most := 200

# crowd_within(pod) says the same of what containers and the pod itself hold, for a pod that is no crowd.
crowd_within(pod) := too_many([
	[sum([size(container, ["ports"]) | some [_, _, container] in containers(pod.spec)]), "ports", 500],
	[sum([number | some entry in containers(pod.spec); number := capabilities(entry[2])]), "capabilities", 500],
	[size(pod.spec, ["securityContext", "sysctls"]), "sysctls", most],
	[count(app_armor_annotations(pod)), "AppArmor annotations", most],
])

# too_many(numbers) is about the first of these [number, noun, most] where there are more; undefined where there is none.
too_many(numbers) := [text |
	some [number, noun, limit] in numbers
	number > limit
	text := sprintf("has %d %s, and none may have more than %d", [number, noun, limit])
][0]

capabilities(container) := sum([size(container, ["securityContext", "capabilities", list]) | some list in ["add", "drop"]])

size(parent, path) := count(found) if {
	found := object.get(parent, path, [])
	is_array(found)
} else := 0

app_armor_annotation := "container.apparmor.security.beta.kubernetes.io/"

app_armor_annotations(pod) := [key | some key, _ in pod.metadata.annotations; startswith(key, app_armor_annotation)]

listed(spec, keys) := sum([count(spec[key]) | some key in keys; is_array(spec[key])])
