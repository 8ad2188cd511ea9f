# METADATA
# scope: package
# title: A database port is reached by the pods of its own service only
# description: |
#   A workload serves a database if its pods have a container port of `ports`, or if a Service with such a port, or such a
#   target, selects them. Of the NetworkPolicies that select its pods for ingress, every rule about that port admits only
#   - pods of its own namespace, by a selector that asks for a label and selects no pod of another service;
#   - pods of a namespace that belongs to the same service, its own included (`service` as guardian.yaml's `match` says),
#     by any selector that selects no pod of another service;
#   - pods of a namespace on `allowedNamespaces`, and addresses within `allowedBlocks`.
#   It is violated when no policy restricts ingress, when a rule admits everyone, every namespace (or every one that lacks a
#   label), or more than the above, and when something goes past the policies: the host's network, a hostPort, or a Service
#   that is reached from outside.
#   Judged are Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers and Pods. What a workload in the
#   same snapshot controls is judged as that one, if it truly stands for it: selects it, with the same ports, the same host
#   settings and under the same policies; an ownerReference alone proves nothing.
#   Not seen: a port that nothing declares, Services with hand-made endpoints, what a network plugin enforces or adds.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/
#     description: Kubernetes, how NetworkPolicies select pods and add up
#   - ref: https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final
#     description: NIST SP 800-53 revision 5, AC-4 information flow enforcement, SC-7 boundary protection
# custom:
#   id: network.database-reach
#   scope: snapshot
#   severity: high
#   remediation: |
#     Let only the application in, by its labels, on the database's port, and make its Service a ClusterIP:
#     `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: database, namespace: NAMESPACE},
#     spec: {podSelector: {matchLabels: {app: postgres}}, policyTypes: [Ingress],
#     ingress: [{from: [{podSelector: {matchLabels: {app: odoo}}}], ports: [{port: 5432}]}]}}`
#     Policies add up: narrow or delete every other one that the message names. A namespace of the platform that must reach
#     it (an operator, backups) goes, by review, into guardian.yaml:
#     `controls: {network.database-reach: {params: {allowedNamespaces: [cnpg-system]}}}`.
#   inputs:
#     - k8s.core.Pod
#     - k8s.core.ReplicationController
#     - k8s.apps.DaemonSet
#     - k8s.apps.Deployment
#     - k8s.apps.ReplicaSet
#     - k8s.apps.StatefulSet
#     - k8s.core.Namespace
#     - k8s.core.Service
#     - k8s.networking.k8s.io.NetworkPolicy
#   judges:
#     - k8s.core.Pod
#     - k8s.core.ReplicationController
#     - k8s.apps.DaemonSet
#     - k8s.apps.Deployment
#     - k8s.apps.ReplicaSet
#     - k8s.apps.StatefulSet
#   frameworks:
#     nist-800-53r5: [SC-7, AC-4]
#     iso-27001-2022: [A.8.22]
#     soc2: [CC6.6]
#   stages: [audit]
#   uses: [incomplete]
package guardian.network.database_reach

import future.keywords.not

import data.guardian.lib.endpoint
import data.guardian.lib.network_policy
import data.guardian.lib.outcome
import data.guardian.lib.selector

default pods := []

pods := input.resources["k8s.core.Pod"]

default deployments := []

deployments := input.resources["k8s.apps.Deployment"]

default replica_sets := []

replica_sets := input.resources["k8s.apps.ReplicaSet"]

default stateful_sets := []

stateful_sets := input.resources["k8s.apps.StatefulSet"]

default daemon_sets := []

daemon_sets := input.resources["k8s.apps.DaemonSet"]

default replication_controllers := []

replication_controllers := input.resources["k8s.core.ReplicationController"]

namespaces := input.resources["k8s.core.Namespace"]

services := input.resources["k8s.core.Service"]

policies := input.resources["k8s.networking.k8s.io.NetworkPolicy"]

controllers := array.concat(
	array.concat(deployments, replica_sets),
	array.concat(stateful_sets, array.concat(daemon_sets, replication_controllers)),
)

workloads := array.concat(pods, controllers)

judged contains workload.id if some workload in workloads

findings contains finding if {
	some workload in workloads
	finding := verdict(workload)
	finding.verdict != "pass"
}

verdict(workload) := outcome.error(workload.id, message) if {
	count(unread) > 0
	message := sprintf("could not be judged: %s could not all be read, or are not collected", [concat(", ", sort(unread))])
} else := outcome.error(workload.id, message) if {
	found := misplaced | object.get(malformed, [endpoint.place(workload)], set())
	count(found) > 0
	message := sprintf("could not be judged: these have an unexpected form: %s", [concat(", ", sort(found))])
} else := outcome.skip(workload.id, "serves no database port") if {
	known(workload)
	not databases[workload.id]
} else := outcome.skip(workload.id, message) if {
	known(workload)
	message := concat(" ", ["judged as", min(covered[workload.id])])
} else := outcome.fail(workload.id, message, expected(workload), observed) if {
	known(workload)
	found := sort(problems[workload.id])
	count(found) > 0
	message := sprintf("port %s is reached by more than its own service: %s%s", [
		concat(", ", [format_int(number, 10) | some number in sort(serves[workload.id])]),
		concat("; ", array.slice(found, 0, 5)),
		and_more(count(found) - 5),
	])
	observed := {
		"ports": sort(serves[workload.id]),
		"policies": sort(object.get(selecting, workload.id, set())),
		"problems": found,
	}
} else := outcome.error(workload.id, message) if {
	count(input.incomplete) > 0
	message := sprintf("no way in but its own was found, but %s could not all be read", [concat(", ", sort(input.incomplete))])
} else := outcome.error(workload.id, message) if {
	count(unknown_workloads) > 0
	message := sprintf("no way in but its own was found, but these have an unexpected form: %s", [
		concat(", ", array.slice(sort(unknown_workloads), 0, 5)),
	])
} else := outcome.proved if {
	known(workload)
	count(selecting[workload.id]) > 0
	not problems[workload.id]
} else := outcome.unknown(workload.id)

and_more(number) := sprintf("; and %d more", [number]) if {
	number > 0
} else := ""

expected(workload) := {
	"service": object.get(workload, "service", null),
	"allowedNamespaces": sort(input.params[workload.id].allowedNamespaces),
	"allowedBlocks": sort(input.params[workload.id].allowedBlocks),
}

known(workload) if {
	facts[workload.id]
	is_array(input.incomplete)
	is_array(input.params[workload.id].allowedNamespaces)
	is_array(input.params[workload.id].allowedBlocks)
	is_array(input.params[workload.id].ports)
	every port in input.params[workload.id].ports { is_number(to_number(port)) }
}

# Without all of these nothing can be said: a policy or a Service more could turn every verdict around.
unread contains kind if {
	some kind in input.incomplete
	kind in {"k8s.core.Namespace", "k8s.core.Service", "k8s.networking.k8s.io.NetworkPolicy"}
}

unread contains "k8s.core.Namespace" if not is_array(namespaces)

unread contains "k8s.core.Service" if not is_array(services)

unread contains "k8s.networking.k8s.io.NetworkPolicy" if not is_array(policies)

misplaced contains resource.id if {
	some resource in array.concat(services, policies)
	not endpoint.place(resource)
}

misplaced contains namespace.id if {
	some namespace in namespaces
	not namespace_facts(namespace)
}

malformed[at] contains service.id if {
	some service in services
	at := endpoint.place(service)
	not endpoint.service(service)
}

malformed[at] contains policy.id if {
	some policy in policies
	at := endpoint.place(policy)
	not well_formed(policy)
}

well_formed(policy) if {
	is_string(policy.attributes.metadata.name)
	network_policy.well_formed(policy.attributes.spec)
}

unknown_workloads contains workload.id if {
	some workload in workloads
	not facts[workload.id]
}

# By id, each read once.
facts[workload.id] := endpoint.pods(workload) if some workload in workloads

# Which ports the pods of a workload serve a database on.

database_ports[id] := {to_number(port) | some port in input.params[id].ports} if some id, _ in facts

all_database_ports contains port if {
	some ports in database_ports
	some port in ports
}

# Names by which a Service may mean a database port, by place.
names_of_ports[found.place] contains name if {
	some found in facts
	some [name, number] in found.ports
	number in all_database_ports
}

services_in[found.place] contains found if {
	some service in services
	found := endpoint.service(service)
}

# Few Services can be about a database: those are held against every pod of their place, the others are not.
of_databases[at] contains service if {
	some at, found in services_in
	some service in found
	some [port, to] in service.ports
	about_database(at, port, to)
}

about_database(_, port, _) if port in all_database_ports

about_database(_, _, to) if to in all_database_ports

about_database(at, _, to) if to in names_of_ports[at]

serves[id] contains number if {
	some id, found in facts
	some [_, number] in found.ports
	number in database_ports[id]
}

serves[id] contains number if {
	some id, found in facts
	some service in of_databases[found.place]
	some [port, number] in endpoint.leads_to(service, found)
	count({port, number} & database_ports[id]) > 0
}

databases contains id if some id, _ in serves

# Which policies restrict who reaches them.

policies_in[at] contains {"name": policy.attributes.metadata.name, "spec": policy.attributes.spec} if {
	some policy in policies
	at := endpoint.place(policy)
	well_formed(policy)
	network_policy.restricts(policy.attributes.spec, "ingress")
}

applying[id] contains policy if {
	some id in databases
	some policy in policies_in[facts[id].place]
	selector.selects(network_policy.pods(policy.spec), facts[id].labels) == true
}

selecting[id] := {policy.name | some policy in applying[id]} if some id in databases

# What a workload in the snapshot stands for.

# Keys made of several parts are put together first: WebAssembly looks a variable up, and for an array written in the
# brackets it tries every key. Likewise it tries every member for `in`, so that large sets are asked by brackets.
owners[key] contains workload if {
	some workload in controllers
	key := [facts[workload.id].place, workload.kind, workload.attributes.metadata.name]
}

covered[id] contains owner.id if {
	some workload in array.concat(pods, replica_sets)
	id := workload.id
	databases[id]
	some reference in workload.attributes.metadata.ownerReferences
	reference.controller == true
	stated := [reference.apiVersion, reference.kind]
	key := [facts[id].place, owner_kinds[workload.kind][stated], reference.name]
	some owner in owners[key]
	stands_for(owner, id)
}

# What a Pod or a ReplicaSet may be judged as. No circle: nothing stands for what it is judged as itself.
owner_kinds := {
	"k8s.core.Pod": {
		["apps/v1", "ReplicaSet"]: "k8s.apps.ReplicaSet",
		["apps/v1", "StatefulSet"]: "k8s.apps.StatefulSet",
		["apps/v1", "DaemonSet"]: "k8s.apps.DaemonSet",
		["v1", "ReplicationController"]: "k8s.core.ReplicationController",
	},
	"k8s.apps.ReplicaSet": {["apps/v1", "Deployment"]: "k8s.apps.Deployment"},
}

stands_for(owner, id) if {
	chosen_by(owner, facts[id].labels)
	count(serves[id] - serves[owner.id]) == 0
	selecting[id] == selecting[owner.id]
	facts[id].service == facts[owner.id].service
	facts[id].hostNetwork == facts[owner.id].hostNetwork
	count(facts[id].hostPorts - facts[owner.id].hostPorts) == 0
}

chosen_by(owner, labels) if {
	owner.kind != "k8s.core.ReplicationController"
	selector.selects(owner.attributes.spec.selector, labels) == true
}

chosen_by(owner, labels) if {
	owner.kind == "k8s.core.ReplicationController"
	selector.selects({"matchLabels": replicated(owner)}, labels) == true
}

# A ReplicationController without a selector has that of its template's labels.
replicated(owner) := facts[owner.id].labels if {
	object.get(owner.attributes.spec, "selector", null) in {null, {}}
} else := owner.attributes.spec.selector

# Who reaches them that should not.

exposed := databases - {id | some id, _ in covered}

problems[id] contains "it uses the host's network, which NetworkPolicies do not cover" if {
	some id in exposed
	facts[id].hostNetwork
}

problems[id] contains text if {
	some id in exposed
	not facts[id].hostNetwork
	some number in (facts[id].hostPorts & serves[id])
	text := sprintf("it takes port %d on the host (hostPort)", [number])
}

problems[id] contains text if {
	some id in exposed
	some service in services_in[facts[id].place]
	service.outside != null
	some [port, number] in endpoint.leads_to(service, facts[id])
	number in serves[id]
	text := sprintf("Service %v %s leads to it from outside by port %d", [service.name, service.outside, port])
}

problems[id] contains "no NetworkPolicy restricts who reaches it" if {
	some id in exposed
	count(selecting[id]) == 0
}

problems[id] contains text if {
	some id in exposed
	some policy in applying[id]
	some i, rule in network_policy.rules(policy.spec, "ingress")
	some number in serves[id]
	network_policy.opens_port(rule, number, facts[id].ports)
	some who in admitted(id, rule)
	text := sprintf("NetworkPolicy %v ingress[%d] admits %s", [policy.name, i, who])
}

admitted(id, rule) := {"everyone"} if {
	count(network_policy.peers(rule, "ingress")) == 0
} else := {who |
	some peer in network_policy.peers(rule, "ingress")
	some who in strangers(id, peer)
}

strangers(id, peer) := set() if {
	is_object(peer.ipBlock)
	some block in input.params[id].allowedBlocks
	net.cidr_contains(block, peer.ipBlock.cidr)
} else := {concat(" ", ["the addresses", peer.ipBlock.cidr])} if {
	is_object(peer.ipBlock)
} else := {"pods of every namespace"} if {
	selector.everything(object.get(peer, "namespaceSelector", null))
} else := {"pods of every namespace that lacks a label"} if {
	selector.selects(peer.namespaceSelector, nameless) == true
} else := {who |
	cluster := facts[id].place[0]
	chosen := [cluster, peer.namespaceSelector]
	some name in chosen_namespaces[chosen]
	some who in strangers_in(id, [cluster, name], pods_of(peer))
} if {
	is_object(peer.namespaceSelector)
} else := strangers_in(id, facts[id].place, pods_of(peer))

# The labels of a namespace that nobody thought of: every one has its name, and `?` is the name of none.
nameless := {"kubernetes.io/metadata.name": "?"}

# A peer without a podSelector means all pods of its namespaces.
pods_of(peer) := {} if {
	object.get(peer, "podSelector", null) == null
} else := peer.podSelector

# strangers_in(id, at, chosen): whom at that place the selector admits who is not of the service of the database.
strangers_in(id, at, chosen) := set() if {
	is_object(chosen)
	at[1] in input.params[id].allowedNamespaces
} else := {concat("", ["pods of namespace ", at[1], ", which is not known to be of its service"])} if {
	at != facts[id].place
	not of_one_service(id, at)
} else := {concat("", ["every pod of namespace ", at[1], ", which is not known to be of its service"])} if {
	selector.everything(chosen)
	not of_one_service(id, at)
} else := {concat("", ["pods that lack a label in namespace ", at[1], ", which is not known to be of its service"])} if {
	selector.selects(chosen, {}) == true
	not of_one_service(id, at)
} else := {concat("", ["pods of ", whose(member), " in namespace ", at[1]]) |
	some member in members[at]
	member.service != facts[id].service
	selector.selects(chosen, member.labels) == true
}

of_one_service(id, at) if {
	is_string(facts[id].service)
	namespace_at[at].service == facts[id].service
}

whose(member) := concat(" ", ["service", member.service]) if {
	is_string(member.service)
} else := "no service"

members[found.place] contains {"labels": found.labels, "service": found.service} if some found in facts

namespace_facts(namespace) := {
	"place": [namespace.scope.cluster, name],
	"labels": object.union(selector.labels(namespace.attributes.metadata), {"kubernetes.io/metadata.name": name}),
	"service": namespace.service,
} if {
	is_string(namespace.scope.cluster)
	name := namespace.attributes.metadata.name
	is_string(name)
}

namespace_at[found.place] := found if {
	some namespace in namespaces
	found := namespace_facts(namespace)
}

# Which namespaces a selector means is found once for each selector, by one of the labels that it asks for if it does, so
# that the cost is not that of every selector times every namespace.
chosen_namespaces[key] contains name if {
	some key in namespace_selectors
	some name in candidates(key[0], key[1])
	at := [key[0], name]
	selector.selects(key[1], namespace_at[at].labels) == true
}

namespace_selectors contains [at[0], peer.namespaceSelector] if {
	some at, found in policies_in
	some policy in found
	some rule in network_policy.rules(policy.spec, "ingress")
	some peer in network_policy.peers(rule, "ingress")
	is_object(peer.namespaceSelector)
}

candidates(cluster, chosen) := object.get(names_by_label, [[cluster, key, chosen.matchLabels[key]]], set()) if {
	key := min(object.keys(chosen.matchLabels))
} else := object.get(names_in, [cluster], set())

names_by_label[label] contains found.place[1] if {
	some found in namespace_at
	some key, value in found.labels
	label := [found.place[0], key, value]
}

names_in[found.place[0]] contains found.place[1] if some found in namespace_at
