# METADATA
# scope: package
# title: Every namespace denies ingress and egress unless a policy allows it
# description: |
#   For ingress and for egress, a namespace has a NetworkPolicy that selects all its pods (an empty podSelector) and
#   restricts that direction, so that a pod can reach and be reached only as policies say. What such a policy itself allows
#   is allowed knowingly; but policies add up, and one for all pods, or for all that lack a label, undoes the denial with a
#   rule that allows everyone on all ports of a protocol. Everyone is a rule without peers, a namespaceSelector `{}` that
#   no podSelector narrows (every pod of the cluster), and an ipBlock of a prefix up to /8 (IPv6: /16) whatever it excepts:
#   a few of them, or one that excepts an address, are all there is. All ports are no ports, a protocol without a port, and
#   ranges of one rule that add up to more than 60,000. policyTypes count as the API defines them: where they are absent, a policy restricts ingress, and
#   egress only if it has egress rules.
#   Judged are NetworkPolicies of the Kubernetes API, not those of a network plugin, and not whether a plugin enforces them.
#   Namespaces that are being deleted, and those on `exempt`, are passed over.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/#default-policies
#     description: Kubernetes, policies that deny by default
#   - ref: https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final
#     description: NIST SP 800-53 revision 5, SC-7(5) deny by default, allow by exception
# custom:
#   id: network.default-deny
#   scope: snapshot
#   severity: high
#   remediation: |
#     Apply this to the namespace, with policies beside it for what its pods need (DNS to kube-system above all), and
#     delete or narrow a policy that allows everything:
#     `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: default-deny, namespace: NAMESPACE},
#     spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}`
#     A namespace of the platform goes, by review, into guardian.yaml:
#     `controls: {network.default-deny: {params: {exempt: [kube-system, kube-public, kube-node-lease, NAMESPACE]}}}`.
#   inputs: [k8s.core.Namespace, k8s.networking.k8s.io.NetworkPolicy]
#   judges: [k8s.core.Namespace]
#   frameworks:
#     nist-800-53r5: [SC-7(5)]
#     iso-27001-2022: [A.8.22]
#     soc2: [CC6.6]
#     pci-dss-v4: ["1.3"]
#   stages: [audit]
#   uses: []
package guardian.network.default_deny

import future.keywords.not

import data.guardian.lib.network_policy
import data.guardian.lib.outcome

namespaces := input.resources["k8s.core.Namespace"]

policies := input.resources["k8s.networking.k8s.io.NetworkPolicy"]

judged contains namespace.id if some namespace in namespaces

findings contains finding if {
	some namespace in namespaces
	finding := verdict(namespace)
	finding.verdict != "pass"
}

verdict(namespace) := outcome.skip(namespace.id, "is being deleted") if {
	known(namespace)
	leaving(namespace)
} else := outcome.skip(namespace.id, "exempt: on the list of namespaces that need no default denial") if {
	known(namespace)
	namespace.attributes.metadata.name in input.params[namespace.id].exempt
} else := outcome.error(namespace.id, "NetworkPolicies are not collected: add their kind to the collector") if {
	not is_array(policies)
} else := outcome.error(namespace.id, message) if {
	count(unreadable(namespace)) > 0
	message := sprintf("could not be judged: these NetworkPolicies have an unexpected form: %s", [
		concat(", ", sort(unreadable(namespace))),
	])
} else := outcome.fail(namespace.id, message, {"ingress": "denied by default", "egress": "denied by default"}, observed) if {
	known(namespace)
	found := problems(namespace)
	count(found) > 0
	message := sprintf("namespace %v: %s", [namespace.attributes.metadata.name, concat("; ", sort(found))])
	observed := {direction: {
		"denying": sort(names(denying, namespace, direction)),
		"opening": sort(names(opening, namespace, direction)),
	} |
		some direction in ["ingress", "egress"]
	}
} else := outcome.proved if {
	known(namespace)
	every direction in ["ingress", "egress"] {
		count(names(denying, namespace, direction)) > 0
		count(names(opening, namespace, direction)) == 0
	}
} else := outcome.unknown(namespace.id)

known(namespace) if {
	is_string(namespace.attributes.metadata.name)
	is_string(namespace.scope.cluster)
	is_array(input.params[namespace.id].exempt)
}

leaving(namespace) if namespace.attributes.status.phase == "Terminating"

leaving(namespace) if is_string(namespace.attributes.metadata.deletionTimestamp)

# A policy is where its cluster and its namespace are. One that cannot be placed may be in any namespace.
place(policy) := [policy.scope.cluster, policy.scope.namespace] if {
	is_string(policy.scope.cluster)
	is_string(policy.scope.namespace)
}

own_place(namespace) := [namespace.scope.cluster, namespace.attributes.metadata.name]

readable(policy) if {
	is_array(place(policy))
	is_string(policy.attributes.metadata.name)
	network_policy.well_formed(policy.attributes.spec)
}

malformed[at] contains policy.id if {
	some policy in policies
	not readable(policy)
	at := place(policy)
}

misplaced contains policy.id if {
	some policy in policies
	not is_array(place(policy))
}

unreadable(namespace) := misplaced | here if {
	here := malformed[own_place(namespace)]
} else := misplaced

denying[at][direction] contains policy.attributes.metadata.name if {
	some policy in policies
	readable(policy)
	at := place(policy)
	network_policy.for_all_pods(network_policy.pods(policy.attributes.spec))
	some direction in ["ingress", "egress"]
	network_policy.restricts(policy.attributes.spec, direction)
}

opening[at][direction] contains shown if {
	some policy in policies
	readable(policy)
	at := place(policy)
	network_policy.for_unnamed_pods(network_policy.pods(policy.attributes.spec))
	some direction in ["ingress", "egress"]
	some i, rule in network_policy.rules(policy.attributes.spec, direction)
	network_policy.opens_all_ports(rule)
	network_policy.opens_to_all(rule, direction)
	shown := sprintf("%v %s[%d]", [policy.attributes.metadata.name, direction, i])
}

names(table, namespace, direction) := found if {
	found := table[own_place(namespace)][direction]
} else := set()

problems(namespace) := {text |
	some direction, type in network_policy.type_of
	count(names(denying, namespace, direction)) == 0
	text := sprintf("no NetworkPolicy denies %s to all its pods: add one with an empty podSelector and policyTypes [%s]", [
		direction,
		type,
	])
} | {text |
	some direction, way in {"ingress": "from", "egress": "to"}
	some shown in names(opening, namespace, direction)
	text := sprintf("NetworkPolicy %s allows everything %s everywhere, which undoes the denial: narrow it", [shown, way])
}
