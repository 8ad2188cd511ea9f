# METADATA
# scope: package
# title: A stateless workload survives the loss of a pod, a node or a zone
# description: |
#   Where more than one replica is asked for, a Deployment has as many; a PodDisruptionBudget selects its pods and does not
#   let all of them be evicted at once, even if it spans other workloads; and its running pods are not all on one node,
#   nor in one zone where the nodes of the cluster stand in several. On a cluster of one node they are: that is a
#   violation too, and the finding says so. Where no running pod of a Deployment is known, only a scheduling rule that the
#   scheduler must keep (a topology spread constraint with DoNotSchedule, or a required anti-affinity, over nodes or zones)
#   stands for the spread; without one it is not known, which is an error. A Deployment scaled to 0 is passed over.
#   StatefulSets are not judged, but counted where a budget spans them.
# related_resources:
#   - ref: https://kubernetes.io/docs/tasks/run-application/configure-pdb/
#     description: Kubernetes, PodDisruptionBudgets
#   - ref: https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
#     description: Kubernetes, topology spread constraints
# custom:
#   id: workload.replicas
#   scope: snapshot
#   severity: high
#   remediation: |
#     Replicas and spread, in the Deployment (labels as in its template):
#         spec:
#           replicas: 2
#           template:
#             spec:
#               topologySpreadConstraints:
#               - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: odoo}}}
#               - {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: odoo}}}
#     A budget for it alone:
#         apiVersion: policy/v1
#         kind: PodDisruptionBudget
#         metadata: {name: odoo, namespace: erp}
#         spec: {maxUnavailable: 1, selector: {matchLabels: {app: odoo}}}
#     What may rest goes to 0 replicas.
#   inputs: [k8s.apps.Deployment, k8s.apps.StatefulSet, k8s.core.Pod, k8s.core.Node, k8s.policy.PodDisruptionBudget]
#   judges: [k8s.apps.Deployment]
#   frameworks:
#     nist-800-53r5: [CP-10]
#     iso-27001-2022: [A.8.14]
#     soc2: [A1.2]
#   stages: [audit]
#   uses: [incomplete]
package guardian.workload.replicas

import future.keywords.not

import data.guardian.lib.outcome
import data.guardian.lib.selector

deployments := input.resources["k8s.apps.Deployment"]

judged contains deployment.id if some deployment in deployments

findings contains finding if {
	some deployment in deployments
	finding := verdict(deployment)
	finding.verdict != "pass"
}

verdict(deployment) := outcome.skip(deployment.id, "scaled to 0: nothing runs") if {
	replicas(deployment) == 0
} else := outcome.fail(deployment.id, message, expected, observed) if {
	texts := problems(deployment)
	count(texts) > 0
	message := concat("; ", texts)
	expected := {"replicas": minimum(deployment), "budget": "keeps one pod", "spread": "two nodes, two zones where there are"}
	observed := {
		"replicas": replicas(deployment),
		"budgets": sort([{"name": name, "evictable": evictable} | some [name, evictable] in budgets(deployment)]),
		"running": sort([{"pod": id, "node": running_pods[id].node} | some id in running(deployment)]),
		"zones": sort(zones_of(deployment)),
		"clusterNodes": count(object.get(zones, deployment.scope.cluster, {})),
		"clusterZones": sort(zones_of_cluster(deployment)),
	}
} else := outcome.error(deployment.id, message) if {
	texts := unknowns(deployment)
	count(texts) > 0
	message := concat("; ", texts)
} else := outcome.proved if {
	enough(deployment)
	not more_than_one(deployment)
} else := outcome.proved if {
	enough(deployment)
	more_than_one(deployment)
	protected(deployment)
	spread(deployment)
} else := outcome.unknown(deployment.id)

problems(deployment) := array.concat(
	array.concat(too_few(deployment), unprotected(deployment)),
	together(deployment),
)

unknowns(deployment) := array.concat(budgets_unknown(deployment), spread_unknown(deployment))

# Replicas.

replicas(deployment) := 1 if {
	object.get(deployment.attributes.spec, "replicas", null) == null
} else := deployment.attributes.spec.replicas if {
	is_number(deployment.attributes.spec.replicas)
}

minimum(deployment) := number if {
	number := input.params[deployment.id].minReplicas
	is_number(number)
}

enough(deployment) if replicas(deployment) >= minimum(deployment)

# Where one replica is enough, there is nothing to spread or to keep.
more_than_one(deployment) if minimum(deployment) > 1

too_few(deployment) := [text] if {
	replicas(deployment) < minimum(deployment)
	text := sprintf("replicas is %v, at least %v are asked for", [replicas(deployment), minimum(deployment)])
} else := []

# Everything by place (cluster and namespace), and there by its labels.

place_of(resource) := concat("/", [resource.scope.cluster, resource.scope.namespace]) if {
	is_string(resource.scope.cluster)
	is_string(resource.scope.namespace)
}

workloads[id] := {"place": place_of(workload), "labels": labels, "replicas": number} if {
	some workload in array.concat(deployments, stateful_sets)
	id := workload.id
	labels := template_labels(workload)
	number := replicas(workload)
}

stateful_sets := input.resources["k8s.apps.StatefulSet"] if {
	is_array(input.resources["k8s.apps.StatefulSet"])
} else := []

workloads_at[place] contains id if {
	some id, workload in workloads
	place := workload.place
}

workloads_listed[place][pair] contains id if {
	some id, workload in workloads
	place := workload.place
	some pair in selector.listings(workload.labels)
}

running_pods[pod.id] := {"place": place_of(pod), "labels": labels, "node": node} if {
	some pod in input.resources["k8s.core.Pod"]
	pod.attributes.status.phase == "Running"
	object.get(pod.attributes, ["metadata", "deletionTimestamp"], null) == null
	labels := object.get(pod.attributes.metadata, "labels", {})
	node := object.get(pod.attributes, ["spec", "nodeName"], null)
}

pods_at[place] contains id if {
	some id, pod in running_pods
	place := pod.place
}

pods_listed[place][pair] contains id if {
	some id, pod in running_pods
	place := pod.place
	some pair in selector.listings(pod.labels)
}

template_labels(workload) := labels if {
	labels := workload.attributes.spec.template.metadata.labels
	is_object(labels)
} else := {}

read contains "k8s.apps.Deployment" if is_array(deployments)

read contains "k8s.apps.StatefulSet" if is_array(input.resources["k8s.apps.StatefulSet"])

read contains "k8s.core.Pod" if is_array(input.resources["k8s.core.Pod"])

read contains "k8s.core.Node" if is_array(input.resources["k8s.core.Node"])

read contains "k8s.policy.PodDisruptionBudget" if is_array(input.resources["k8s.policy.PodDisruptionBudget"])

# What was read completely.
complete(kind) if {
	kind in read
	is_array(input.incomplete)
	not kind in input.incomplete
}

# Budgets.

budgets_by_id[budget.id] := budget if some budget in input.resources["k8s.policy.PodDisruptionBudget"]

# The workloads whose pods each budget selects.
spanned[budget.id] contains id if {
	some budget in budgets_by_id
	chosen := budget.attributes.spec.selector
	is_object(chosen)
	place := place_of(budget)
	some id in selector.candidates(
		chosen,
		object.get(workloads_listed, place, {}),
		object.get(workloads_at, place, set()),
	)
	selector.matches(chosen, workloads[id].labels)
}

budgets_of[workload] contains [budgets_by_id[id].attributes.metadata.name, evictable[id]] if {
	some id, members in spanned
	some workload in members
}

budgets(deployment) := object.get(budgets_of, deployment.id, set())

# How many pods each budget lets be evicted at once, null where that cannot be told. Percentages are rounded up, as the
# disruption controller does.
evictable[id] := most(budgets_by_id[id].attributes.spec, total) if {
	some id, members in spanned
	total := sum([workloads[member].replicas | some member in members])
}

most(spec, total) := share(spec.maxUnavailable, total) if {
	object.get(spec, "maxUnavailable", null) != null
} else := total - share(spec.minAvailable, total) if {
	object.get(spec, "minAvailable", null) != null
} else := null

share(value, total) := value if {
	is_number(value)
	value >= 0
} else := ceil((percentages[value] * total) / 100)

percentages := {text: number | some number in numbers.range(0, 100); text := concat("", [format_int(number, 10), "%"])}

protected(deployment) if {
	complete("k8s.policy.PodDisruptionBudget")
	complete("k8s.apps.Deployment")
	complete("k8s.apps.StatefulSet")
	count(workloads) == count(deployments) + count(stateful_sets)
	some [_, number] in budgets(deployment)
	keeps_one(number, deployment)
}

keeps_one(number, deployment) if {
	is_number(number)
	number < replicas(deployment)
}

unprotected(deployment) := ["no PodDisruptionBudget selects its pods"] if {
	more_than_one(deployment)
	complete("k8s.policy.PodDisruptionBudget")
	count(budgets(deployment)) == 0
} else := [text] if {
	more_than_one(deployment)
	enough(deployment)
	count(budgets(deployment)) > 0
	count({number | some [_, number] in budgets(deployment); keeps_one(number, deployment)}) == 0
	names := sort({name | some [name, _] in budgets(deployment)})
	text := sprintf("PodDisruptionBudget %s lets all its pods be evicted at once", [concat(", ", names)])
} else := []

budgets_unknown(deployment) := ["which PodDisruptionBudgets there are, and what they span, could not all be read"] if {
	more_than_one(deployment)
	not protected(deployment)
} else := []

# Spread.

running_of[deployment.id] contains id if {
	some deployment in deployments
	chosen := deployment.attributes.spec.selector
	is_object(chosen)
	place := place_of(deployment)
	some id in selector.candidates(chosen, object.get(pods_listed, place, {}), object.get(pods_at, place, set()))
	selector.matches(chosen, running_pods[id].labels)
}

running(deployment) := object.get(running_of, deployment.id, set())

nodes_of(deployment) := {running_pods[id].node | some id in running(deployment)}

zones_of(deployment) := {zone |
	some node in nodes_of(deployment)
	zone := zones[deployment.scope.cluster][node]
}

# The nodes of each cluster with their zones, null for a node outside any.
zones[cluster][name] := zone if {
	some node in input.resources["k8s.core.Node"]
	cluster := node.scope.cluster
	name := node.attributes.metadata.name
	zone := object.get(node.attributes, ["metadata", "labels", "topology.kubernetes.io/zone"], null)
}

zones_of_cluster(deployment) := {zone | some zone in zones[deployment.scope.cluster]; zone != null}

several_zones(deployment) if count(zones_of_cluster(deployment)) > 1

together(deployment) := [text] if {
	more_than_one(deployment)
	complete("k8s.core.Pod")
	count(nodes_of(deployment)) == 1
	some node in nodes_of(deployment)
	is_string(node)
	text := concat("", ["all its running pods are on node ", node, only_node(deployment)])
} else := [text] if {
	more_than_one(deployment)
	complete("k8s.core.Pod")
	several_zones(deployment)
	count(nodes_of(deployment)) > 1
	every node in nodes_of(deployment) {
		node in object.keys(zones[deployment.scope.cluster])
	}
	count(zones_of(deployment)) == 1
	text := concat("", ["all its running pods are in zone ", concat(", ", zones_of(deployment))])
} else := []

only_node(deployment) := ", the only one of the cluster" if {
	complete("k8s.core.Node")
	count(zones[deployment.scope.cluster]) == 1
} else := ""

spread(deployment) if {
	complete("k8s.core.Pod")
	complete("k8s.core.Node")
	count(nodes_of(deployment)) > 1
	every node in nodes_of(deployment) {
		node in object.keys(zones[deployment.scope.cluster])
	}
	zones_suffice(deployment)
}

spread(deployment) if {
	complete("k8s.core.Pod")
	is_object(deployment.attributes.spec.selector)
	count(running(deployment)) == 0
	kept_apart(deployment)
}

zones_suffice(deployment) if not several_zones(deployment)

zones_suffice(deployment) if count(zones_of(deployment) - {null}) > 1

spread_unknown(deployment) := [text] if {
	more_than_one(deployment)
	not spread(deployment)
	text := why_unknown(deployment)
} else := []

why_unknown(deployment) := "the running pods and the nodes could not all be read" if {
	not complete("k8s.core.Pod")
} else := "no running pod of it is known, and nothing in its template makes the scheduler keep its pods apart" if {
	count(running(deployment)) == 0
} else := "on which nodes and in which zones its pods run could not all be read"

# What the scheduler must keep: a topology spread constraint or an anti-affinity of the template against its own labels.

kept_apart(deployment) if {
	template := deployment.attributes.spec.template
	some constraint in template.spec.topologySpreadConstraints
	constraint.topologyKey in apart
	constraint.whenUnsatisfiable == "DoNotSchedule"
	constraint.maxSkew < replicas(deployment)
	selector.matches(constraint.labelSelector, template.metadata.labels)
}

kept_apart(deployment) if {
	template := deployment.attributes.spec.template
	some term in template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution
	term.topologyKey in apart
	selector.matches(term.labelSelector, template.metadata.labels)
	object.get(term, "namespaces", null) in {null, []}
}

apart := {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
