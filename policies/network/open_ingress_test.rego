package guardian.network.open_ingress_test

import data.guardian.network.open_ingress

rule(changes) := object.union(
	{"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrs4": [], "cidrs6": [], "prefixLists": [], "groups": []},
	changes,
)

group(rules) := {
	"kind": "aws.ec2.SecurityGroup",
	"id": "arn:aws:ec2:eu-central-1:123456789012:security-group/sg-1",
	"attributes": {"groupId": "sg-1", "name": "web", "ingress": rules},
}

params := {"ports": ["22", "5432"], "widestIpv4": 8, "widestIpv6": 16, "prefixLists": ["pl-ok"], "allowed": ["sg-bastion"]}

found(resource) := findings if {
	findings := open_ingress.findings with input as {"resource": resource, "params": params}
}

verdicts(rules) := {finding.verdict | some finding in found(group(rules))}

message(rules) := finding.message if some finding in found(group(rules))

test_group_that_opens_no_such_port_passes if {
	verdicts([]) == set()
	verdicts([rule({"fromPort": 443, "toPort": 443, "cidrs4": ["0.0.0.0/0"], "cidrs6": ["::/0"]})]) == set()
	verdicts([rule({"protocol": "icmp", "fromPort": -1, "toPort": -1, "cidrs4": ["0.0.0.0/0"]})]) == set()
	verdicts([rule({"groups": ["sg-2"]})]) == set()
}

test_port_for_few_addresses_passes if {
	verdicts([rule({"cidrs4": ["198.51.100.0/24", "10.0.0.0/8", "172.16.0.0/12"], "cidrs6": ["fc00::/7", "2001:db8::/32"]})]) == set()
}

test_port_open_to_the_world_fails if {
	message([rule({}), rule({"cidrs4": ["0.0.0.0/0"]})]) == "security group sg-1 (web): ingress[1] opens 22 to 0.0.0.0/0"
	verdicts([rule({"cidrs6": ["::/0"]})]) == {"fail"}
}

test_range_and_all_protocols_that_cover_a_port_fail if {
	contains(message([rule({"fromPort": 0, "toPort": 65535, "cidrs4": ["0.0.0.0/0"]})]), "opens 22, 5432 to")
	verdicts([rule({"protocol": "all", "fromPort": null, "toPort": null, "cidrs4": ["0.0.0.0/0"]})]) == {"fail"}
	verdicts([rule({"protocol": "6", "fromPort": null, "toPort": null, "cidrs4": ["0.0.0.0/0"]})]) == {"fail"}
	verdicts([rule({"protocol": "udp", "fromPort": 5000, "toPort": 6000, "cidrs6": ["2000::/3"]})]) == {"fail"}
}

test_world_in_pieces_fails if {
	contains(message([rule({"cidrs4": ["128.0.0.0/1"]}), rule({"cidrs4": ["0.0.0.0/1"]})]), "ingress[0] opens 22 to 128.0.0.0/1")
	verdicts([rule({"cidrs4": ["4.0.0.0/9"]})]) == set()
	verdicts([rule({"cidrs4": ["4.0.0.0/9"]}), rule({"cidrs4": ["4.128.0.0/9"]})]) == {"fail"}
	verdicts([rule({"cidrs4": ["4.0.0.0/9"]}), rule({"fromPort": 5432, "toPort": 5432, "cidrs4": ["4.128.0.0/9"]})]) == set()
	verdicts([rule({"cidrs6": ["2a00::/17", "2a00:8000::/17"]})]) == {"fail"}
}

test_narrow_rule_beside_an_open_one_is_not_named if {
	message([rule({"cidrs4": ["0.0.0.0/0"]}), rule({"cidrs4": ["198.51.100.7/32"]})]) == "security group sg-1 (web): ingress[0] opens 22 to 0.0.0.0/0"
}

test_group_on_the_list_passes if {
	allowed := object.union(group([rule({"cidrs4": ["0.0.0.0/0"]})]), {"attributes": {"groupId": "sg-bastion"}})
	found(allowed) == set()
}

test_prefix_list_that_was_not_reviewed_is_an_error if {
	verdicts([rule({"prefixLists": ["pl-1"]})]) == {"error"}
	contains(message([rule({"prefixLists": ["pl-1"]})]), "prefix lists, whose addresses are not read: pl-1")
	verdicts([rule({"prefixLists": ["pl-ok"]})]) == set()
	verdicts([rule({"fromPort": 443, "toPort": 443, "prefixLists": ["pl-1"]})]) == set()
}

test_what_was_not_read_is_an_error if {
	verdicts(null) == {"error"}
	every key in ["protocol", "fromPort", "toPort", "cidrs4", "cidrs6", "prefixLists"] {
		verdicts([json.remove(rule({}), [key])]) == {"error"}
	}
	every block in ["0.0.0.0", "300.0.0.0/8", "0.0.0.0/33", "world"] {
		verdicts([rule({"cidrs4": [block]})]) == {"error"}
	}
	findings := open_ingress.findings with input as {"resource": group([]), "params": {}}
	{finding.verdict | some finding in findings} == {"error"}
}
