# METADATA
# scope: package
# title: NetworkPolicies as the Kubernetes API defines them
# description: |
#   Everything is asked of a policy's `spec`, whether a server filled in its defaults or not. A direction is `ingress` or
#   `egress`. The functions other than `well_formed` speak of well-formed policies only.
package guardian.lib.network_policy

import future.keywords.not

import data.guardian.lib.selector

type_of := {"ingress": "Ingress", "egress": "Egress"}

peers_of := {"ingress": "from", "egress": "to"}

# pods(spec) is the selector of the pods that a policy is for: all of the namespace where it says nothing.
pods(spec) := {} if {
	object.get(spec, "podSelector", null) == null
} else := spec.podSelector

# types(spec): a policy without policyTypes is for ingress, and for egress if it has rules of that kind.
types(spec) := {type | some type in spec.policyTypes} if {
	count(listed(spec, "policyTypes")) > 0
} else := {"Ingress", "Egress"} if {
	count(listed(spec, "egress")) > 0
} else := {"Ingress"}

# restricts(spec, direction): the pods that the policy selects are isolated but for what policies allow.
restricts(spec, direction) if type_of[direction] in types(spec)

# rules(spec, direction) are what the policy allows, none if it does not restrict this direction.
rules(spec, direction) := listed(spec, direction) if {
	restricts(spec, direction)
} else := []

peers(rule, direction) := listed(rule, peers_of[direction])

# for_all_pods(selector): no pod is spared; for_unnamed_pods(selector): it takes a label to be spared, none to be selected.
for_all_pods(selector_of_pods) if selector.everything(selector_of_pods)

for_unnamed_pods(selector_of_pods) if selector.selects(selector_of_pods, {}) == true

# opens_port(rule, number, names): the rule is about this TCP port. names: pairs of name and number, the pod's named ports.
opens_port(rule, _, _) if count(listed(rule, "ports")) == 0

opens_port(rule, number, names) if {
	some port in listed(rule, "ports")
	protocol(port) == "TCP"
	covers(port, number, names)
}

covers(port, _, _) if object.get(port, "port", null) == null

covers(port, number, _) if {
	is_number(port.port)
	number >= port.port
	number <= last(port)
}

covers(port, number, names) if [port.port, number] in names

last(port) := port.endPort if {
	is_number(port.endPort)
} else := port.port

# opens_all_ports(rule): of a protocol at least, or more than 60,000 of its ports by ranges together.
opens_all_ports(rule) if count(listed(rule, "ports")) == 0

opens_all_ports(rule) if {
	some port in listed(rule, "ports")
	object.get(port, "port", null) == null
}

opens_all_ports(rule) if {
	some transport in ["TCP", "UDP", "SCTP"]
	ranges := {[port.port, last(port)] |
		some port in listed(rule, "ports")
		is_number(port.port)
		protocol(port) == transport
	}
	sum([number | some [start, end] in ranges; number := (end - start) + 1]) > 60000
}

# opens_to_all(rule, direction): every address may, or so many that it is no narrowing, or every pod of the cluster. A rule
# without peers names everyone.
opens_to_all(rule, direction) if count(peers(rule, direction)) == 0

opens_to_all(rule, direction) if {
	some peer in peers(rule, direction)
	anyone(peer)
}

# A few large blocks are a whole, and exceptions may be as small as one address.
anyone(peer) if {
	[address, length] := split(peer.ipBlock.cidr, "/")
	to_number(length) <= shortest[contains(address, ":")]
}

anyone(peer) if {
	selector.everything(peer.namespaceSelector)
	all_of_them(object.get(peer, "podSelector", null))
}

all_of_them(null)

all_of_them(selector_of_pods) if selector.everything(selector_of_pods)

shortest := {false: 8, true: 16}

well_formed(spec) if {
	is_object(spec)
	selector.well_formed(pods(spec))
	is_array(listed(spec, "policyTypes"))
	every type in listed(spec, "policyTypes") { type in {"Ingress", "Egress"} }
	every direction, key in peers_of {
		is_array(listed(spec, direction))
		every rule in listed(spec, direction) { well_ruled(rule, key) }
	}
}

well_ruled(rule, key) if {
	is_object(rule)
	is_array(listed(rule, key))
	is_array(listed(rule, "ports"))
	every peer in listed(rule, key) { well_peered(peer) }
	every port in listed(rule, "ports") { well_ported(port) }
}

well_peered(peer) if {
	is_object(peer)
	object.get(peer, "podSelector", null) == null
	object.get(peer, "namespaceSelector", null) == null
	is_string(peer.ipBlock.cidr)
	is_array(listed(peer.ipBlock, "except"))
	net.cidr_contains(peer.ipBlock.cidr, peer.ipBlock.cidr) == true
}

well_peered(peer) if {
	is_object(peer)
	object.get(peer, "ipBlock", null) == null
	count({name | some name in ["podSelector", "namespaceSelector"]; is_object(peer[name])}) > 0
	every name in ["podSelector", "namespaceSelector"] { selector.well_formed(object.get(peer, name, null)) }
}

well_ported(port) if {
	is_object(port)
	protocol(port) in {"TCP", "UDP", "SCTP"}
	object.get(port, "port", null) == null
	object.get(port, "endPort", null) == null
}

well_ported(port) if {
	is_object(port)
	protocol(port) in {"TCP", "UDP", "SCTP"}
	is_string(port.port)
	object.get(port, "endPort", null) == null
}

well_ported(port) if {
	is_object(port)
	protocol(port) in {"TCP", "UDP", "SCTP"}
	is_number(port.port)
	is_number(last(port))
	object.get(port, "endPort", null) in {null, last(port)}
}

protocol(port) := "TCP" if {
	object.get(port, "protocol", null) == null
} else := port.protocol

# listed(object, name) is a list that may be absent (null), which is an empty one.
listed(found, name) := [] if {
	object.get(found, name, null) == null
} else := found[name]
