package guardian.lib.network_policy_test

import future.keywords.not

import data.guardian.lib.network_policy as policy

app := {"matchLabels": {"app": "web"}}

test_policy_types_default_as_the_api_says if {
	policy.types({}) == {"Ingress"}
	policy.types({"policyTypes": []}) == {"Ingress"}
	policy.types({"policyTypes": null, "ingress": [], "egress": []}) == {"Ingress"}
	policy.types({"egress": [{}]}) == {"Ingress", "Egress"}
	policy.types({"policyTypes": ["Egress"], "ingress": [{}]}) == {"Egress"}
	policy.types({"policyTypes": ["Ingress"], "egress": [{}]}) == {"Ingress"}
}

test_rules_of_a_direction_that_is_not_restricted_say_nothing if {
	policy.rules({"policyTypes": ["Egress"], "ingress": [{}]}, "ingress") == []
	policy.rules({"policyTypes": ["Egress"], "egress": [{}]}, "egress") == [{}]
	policy.rules({"ingress": null}, "ingress") == []
}

test_absent_pod_selector_is_all_pods if {
	policy.pods({}) == {}
	policy.pods({"podSelector": null}) == {}
	policy.pods({"podSelector": app}) == app
	policy.for_all_pods({})
	not policy.for_all_pods(app)
}

test_selector_that_only_spares_is_for_unnamed_pods_and_not_for_all if {
	spares := {"matchExpressions": [{"key": "open", "operator": "NotIn", "values": ["no"]}]}
	policy.for_unnamed_pods(spares)
	not policy.for_all_pods(spares)
	not policy.for_unnamed_pods(app)
}

ports(entries) := {"ports": entries}

test_ports_are_all_one_a_range_or_a_name if {
	named := {["db", 5432]}
	every rule in [
		{},
		ports([]),
		ports(null),
		ports([{}]),
		ports([{"protocol": "TCP"}]),
		ports([{"port": 5432}]),
		ports([{"port": 5432, "endPort": null}]),
		ports([{"port": 1}, {"port": 5000, "endPort": 6000}]),
		ports([{"port": "db", "protocol": "TCP"}]),
	] {
		policy.opens_port(rule, 5432, named)
	}
	every rule in [
		ports([{"port": 5433}]),
		ports([{"port": 80}]),
		ports([{"port": 1, "endPort": 5431}]),
		ports([{"protocol": "UDP"}]),
		ports([{"port": 5432, "protocol": "UDP"}]),
		ports([{"port": 5433, "endPort": 6000}]),
		ports([{"port": "other"}]),
		ports([{"port": "5432"}]),
	] {
		not policy.opens_port(rule, 5432, named)
	}
}

test_all_ports_are_no_list_no_number_or_ranges_of_nearly_all if {
	every rule in [
		{},
		ports([]),
		ports([{"port": 80}, {"protocol": "UDP"}]),
		ports([{"port": 1, "endPort": 65535}]),
		ports([{"port": 2, "endPort": 65535}]),
		ports([{"port": 1, "endPort": 32767}, {"port": 32768, "endPort": 65535}]),
		ports([{"port": 1, "endPort": 60001, "protocol": "UDP"}]),
	] {
		policy.opens_all_ports(rule)
	}
	not policy.opens_all_ports(ports([{"port": 80}]))
	not policy.opens_all_ports(ports([{"port": "db"}]))
	not policy.opens_all_ports(ports([{"port": 1, "endPort": 60000}]))
	not policy.opens_all_ports(ports([{"port": 30000, "endPort": 65535}, {"port": 30000, "endPort": 65535}]))
	not policy.opens_all_ports(ports([{"port": 1, "endPort": 40000}, {"port": 1, "endPort": 40000, "protocol": "UDP"}]))
}

blocks(cidrs) := {"from": [{"ipBlock": {"cidr": cidr}} | some cidr in cidrs]}

test_rule_without_peers_or_with_a_large_block_or_every_pod_opens_to_all if {
	policy.opens_to_all({}, "ingress")
	policy.opens_to_all({"from": []}, "ingress")
	policy.opens_to_all({"from": [{"podSelector": {}}]}, "egress")
	every cidr in ["0.0.0.0/0", "128.0.0.0/1", "64.0.0.0/2", "10.0.0.0/8", "::/0", "2000::/3", "fd00::/16"] {
		policy.opens_to_all(blocks(["192.168.0.0/16", cidr]), "ingress")
	}
	not policy.opens_to_all(blocks(["10.0.0.0/9", "192.168.0.0/16", "fd00:1::/17"]), "ingress")
	policy.opens_to_all({"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.1/32"]}}]}, "ingress")
	every peer in [
		{"namespaceSelector": {}},
		{"namespaceSelector": {"matchLabels": {}}, "podSelector": null},
		{"namespaceSelector": {}, "podSelector": {}},
	] {
		policy.opens_to_all({"from": [peer]}, "ingress")
	}
	every peer in [
		{"podSelector": {}},
		{"podSelector": {}, "namespaceSelector": null},
		{"namespaceSelector": {"matchLabels": {"team": "erp"}}},
		{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}},
	] {
		not policy.opens_to_all({"from": [peer]}, "ingress")
	}
}

test_what_the_api_server_accepts_is_well_formed if {
	every spec in [
		{},
		{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
		{"podSelector": app, "ingress": [{"from": [{"podSelector": {}, "namespaceSelector": app}], "ports": [{"port": 1}]}]},
		{"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": null}]},
		{"egress": [{"to": [{"ipBlock": {"cidr": "fd00::/8"}, "podSelector": null}]}]},
		{"ingress": [{"ports": [{"port": "db"}, {"protocol": "SCTP"}, {"port": 1, "endPort": 9}]}]},
	] {
		policy.well_formed(spec)
	}
}

test_what_it_would_refuse_is_not if {
	every spec in [
		null,
		[],
		{"podSelector": "app"},
		{"policyTypes": ["ingress"]},
		{"policyTypes": "Ingress"},
		{"ingress": {}},
		{"ingress": [null]},
		{"ingress": [{"from": {}}]},
		{"ingress": [{"from": [{}]}]},
		{"ingress": [{"from": [null]}]},
		{"ingress": [{"from": [{"podSelector": "x"}]}]},
		{"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": 7}]}]},
		{"ingress": [{"from": [{"ipBlock": {}}]}]},
		{"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]},
		{"ingress": [{"from": [{"ipBlock": {"cidr": "everywhere/0"}}]}]},
		{"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]},
		{"ingress": [{"ports": {}}]},
		{"ingress": [{"ports": [null]}]},
		{"ingress": [{"ports": [{"protocol": "tcp"}]}]},
		{"ingress": [{"ports": [{"port": true}]}]},
		{"ingress": [{"ports": [{"port": "db", "endPort": 9}]}]},
		{"ingress": [{"ports": [{"port": 1, "endPort": "9"}]}]},
		{"ingress": [{"ports": [{"endPort": 9}]}]},
		{"egress": [{"to": [{"podSelector": {"matchLabels": {"app": 1}}}]}]},
	] {
		not policy.well_formed(spec)
	}
}
