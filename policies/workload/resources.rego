# METADATA
# scope: package
# title: Containers say what they need, and cannot take more than their tier may
# description: |
#   Every container, init container and sidecar has a CPU and a memory request and a memory limit, above zero; no limit, of
#   a container or of a whole pod, is beyond the tier's maximum. A limit stands for a request that is not given, and
#   resources of the pod (`spec.resources`, Kubernetes 1.34) stand for what its containers do not give, both as in
#   Kubernetes itself. A CPU limit is not asked for: it slows a container down without protecting its neighbours more than
#   requests do. Ephemeral containers cannot have resources. What is no quantity is an error.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
#     description: Kubernetes, resource management for pods and containers
#   - ref: https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/
#     description: Kubernetes, pod-level resources
# custom:
#   id: workload.resources
#   scope: resource
#   severity: medium
#   remediation: |
#     Give each container that the finding names what it needs, by its measured use:
#         resources:
#           requests: {cpu: 500m, memory: 1Gi}
#           limits: {memory: 2Gi}
#     A workload that rightly needs more than the maximum gets it, by review, in guardian.yaml:
#     `controls: {workload.resources: {params: {maxMemory: {critical: 64Gi}}}}`.
#   inputs:
#     - k8s.core.Pod
#     - k8s.core.ReplicationController
#     - k8s.apps.Deployment
#     - k8s.apps.StatefulSet
#     - k8s.apps.DaemonSet
#     - k8s.apps.ReplicaSet
#     - k8s.batch.Job
#     - k8s.batch.CronJob
#   frameworks:
#     nist-800-53r5: [SC-5]
#     iso-27001-2022: [A.8.6]
#     soc2: [A1.1]
#   stages: [audit, admission]
#   uses: []
package guardian.workload.resources

import future.keywords.not

import data.guardian.lib.outcome
import data.guardian.lib.quantity
import data.guardian.lib.workload

# Without an id no finding could be made, and nothing found would be a pass.
id := input.resource.id if {
	is_string(input.resource.id)
} else := ""

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.fail(id, workload.crowd(spec), {"most": workload.most}, null) if {
	is_string(workload.crowd(spec))
} else := outcome.fail(id, message, expected, observed) if {
	count(missing) + count(beyond) > 0
	is_array(maximum.cpu)
	is_array(maximum.memory)
	expected := {
		"requests": ["cpu", "memory"],
		"limits": ["memory"],
		"maximum": {resource: quantity.text(most, resource) | some resource, most in maximum},
	}
	observed := sort([shown(entry) | some entry in named])
	message := concat("", [
		concat("; ", array.concat(told(missing & named, "not set: "), told_beyond(expected.maximum))),
		outcome.rest(count(missing | beyond)),
	])
} else := outcome.error(id, message) if {
	count(malformed) > 0
	message := concat("", [
		"no quantity of Kubernetes: ",
		listed(outcome.first(sort(malformed))),
		outcome.rest(count(malformed)),
	])
} else := outcome.proved if {
	count(missing) == 0
	count(beyond) == 0
	count(malformed) == 0
	is_array(maximum.cpu)
	is_array(maximum.memory)
	workload.complete(spec)
} else := outcome.unknown(id)

spec := workload.pod(input.resource).spec

maximum := {"cpu": input.params.maxCpu, "memory": input.params.maxMemory}

# What each container asks for, as [place, {requests: {cpu, memory}, limits: {cpu, memory}}].
claims := [[[group, index, container.name], sizes(container)] |
	some [group, index, container] in workload.containers(spec)
	group != "ephemeralContainers"
]

of_pod := sizes(spec)

sizes(parent) := {
	"requests": {
		"cpu": size(parent, "requests", "cpu"),
		"memory": size(parent, "requests", "memory"),
	},
	"limits": {
		"cpu": size(parent, "limits", "cpu"),
		"memory": size(parent, "limits", "memory"),
	},
}

# size is [whole, billionths], null for what is not there, and the text `malformed` for what is no quantity.
size(parent, list, resource) := null if {
	object.get(parent, ["resources", list, resource], null) == null
} else := quantity.value(parent.resources[list][resource]) if {
	true
} else := "malformed"

# Kubernetes takes the limit for a request that is not given.
request(sizes_given, resource) := sizes_given.requests[resource] if {
	sizes_given.requests[resource] != null
} else := sizes_given.limits[resource]

nothing := {null, [0, 0]}

# What is wrong, as [place or null for the pod, field, size].

missing contains [place, concat(".", ["resources.requests", resource]), asked] if {
	some [place, given] in claims
	some resource in ["cpu", "memory"]
	asked := request(given, resource)
	asked in nothing
	not pod_requests[resource]
}

missing contains [place, "resources.limits.memory", given.limits.memory] if {
	some [place, given] in claims
	given.limits.memory in nothing
	of_pod.limits.memory in nothing
}

beyond contains [place, concat(".", ["resources.limits", resource]), limit] if {
	some [place, given] in array.concat([[null, of_pod]], claims)
	some resource, limit in given.limits
	is_array(limit)
	not limit <= maximum[resource]
}

malformed contains [place, concat(".", ["resources", list, resource]), limit] if {
	some [place, given] in array.concat([[null, of_pod]], claims)
	some list, sizes_given in given
	some resource, limit in sizes_given
	limit == "malformed"
}

pod_requests contains resource if {
	some resource in ["cpu", "memory"]
	not request(of_pod, resource) in nothing
}

# A pod with limits of its own that says nothing of a resource requests what its containers do, added up.
pod_requests contains resource if {
	count(spec.resources.limits) > 0
	some resource in ["cpu", "memory"]
	some [_, given] in claims
	not request(given, resource) in nothing
}

# For people.

named := {entry | some entry in outcome.first(sort(missing | beyond))}

shown([place, field, size_found]) := {
	"container": container_name(place),
	"field": full(place, field),
	"value": text(size_found, resource_of(field)),
}

text(size_found, resource) := quantity.text(size_found, resource) if {
	is_array(size_found)
} else := null

resource_of(field) := split(field, ".")[2]

container_name(place) := place[2] if {
	place != null
} else := null

full(place, field) := concat("", [within, "spec.", field]) if {
	place == null
} else := concat(".", [workload.path(within, place), field])

within := workload.within(input.resource.kind)

told(entries, prefix) := [concat("", [prefix, listed(entries)])] if {
	count(entries) > 0
} else := []

told_beyond(texts) := [text_of_one |
	some resource in ["cpu", "memory"]
	entries := {entry | some entry in (beyond & named); resource_of(entry[1]) == resource}
	some text_of_one in told(entries, concat("", ["beyond the maximum of ", texts[resource], ": "]))
]

listed(entries) := concat(", ", sort([where(place, field) | some [place, field, _] in entries]))

where(place, field) := concat("", ["container ", place[2], " ", full(place, field)]) if {
	is_string(place[2])
} else := full(place, field)
