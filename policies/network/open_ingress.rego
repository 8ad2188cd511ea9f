# METADATA
# scope: package
# title: No security group opens admin or data ports to the world
# description: |
#   No rule of a security group admits the world to one of `ports`, over TCP or UDP, in a range that has one of them, or over
#   all protocols. The world is 0.0.0.0/0 and ::/0, every block as wide as `widestIpv4` or `widestIpv6` that is not private
#   (RFC 1918, RFC 6598, loopback, link-local, fc00::/7), and blocks that together are as wide, so that 0.0.0.0/1 and
#   128.0.0.0/1 are it too. Judged whether or not something uses the group: it can be attached at any moment. Whom a prefix
#   list admits is not read: a rule that opens such a port to one is an error until `prefixLists` names the list.
#   Not seen: network ACLs, host firewalls, and whether an address leads there from outside at all.
# related_resources:
#   - ref: https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html
#     description: Amazon VPC, security group rules
# custom:
#   id: network.open-ingress
#   scope: resource
#   severity: critical
#   remediation: |
#     Take the rule away: `aws ec2 revoke-security-group-ingress --group-id GROUP --security-group-rule-ids RULE` (found by
#     `aws ec2 describe-security-group-rules --filters Name=group-id,Values=GROUP`). Administrators come by Session Manager
#     (`aws ssm start-session --target INSTANCE`) or a VPN, applications by their own security group as the source:
#     `aws ec2 authorize-security-group-ingress --group-id GROUP --protocol tcp --port 5432 --source-group APPLICATION`.
#     A group that must stay open goes, by review, into guardian.yaml:
#     `controls: {network.open-ingress: {params: {allowed: [sg-0123456789abcdef0]}}}`.
#   inputs: [aws.ec2.SecurityGroup]
#   frameworks:
#     nist-800-53r5: [SC-7(5)]
#     iso-27001-2022: [A.8.20]
#     soc2: [CC6.6]
#     pci-dss-v4: ["1.3"]
#   stages: [audit]
#   uses: []
package guardian.network.open_ingress

import future.keywords.not

import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

group := input.resource.attributes

verdict := outcome.proved if {
	known
	input.params.allowed[_] == group.groupId
} else := outcome.fail(input.resource.id, message, {"allowed": sort(input.params.allowed)}, observed) if {
	count(open) > 0
	listed := [sprintf("ingress[%d] opens %s to %s", [i, told(ports), told(open[i])]) |
		some i, ports in opened
		open[i]
	]
	message := sprintf("security group %v (%v): %s%s", [
		group.groupId,
		outcome.short(group.name),
		concat("; ", outcome.first(listed)),
		outcome.rest(count(listed)),
	])
	observed := outcome.first([{"rule": i, "ports": outcome.first(sort(opened[i])), "to": outcome.first(sort(open[i]))} |
		some i, _ in opened
		open[i]
	])
} else := outcome.error(input.resource.id, message) if {
	known
	count(unread_lists) > 0
	message := sprintf("could not be judged: it opens such ports to prefix lists, whose addresses are not read: %s%s", [
		concat(", ", outcome.first(sort(unread_lists))),
		outcome.rest(count(unread_lists)),
	])
} else := outcome.proved if {
	known
	count(open) == 0
	count(unread_lists) == 0
} else := outcome.unknown(input.resource.id)

told(set) := sprintf("%s%s", [concat(", ", outcome.first(sort(set))), outcome.rest(count(set))])

known if {
	is_string(group.groupId)
	is_array(group.ingress)
	every rule in group.ingress { well_formed(rule) }
	is_array(input.params.ports)
	every port in input.params.ports { is_number(to_number(port)) }
	is_number(input.params.widestIpv4)
	is_number(input.params.widestIpv6)
	is_array(input.params.prefixLists)
	is_array(input.params.allowed)
}

well_formed(rule) if {
	is_string(rule.protocol)
	regex.match(`^(all|-1|tcp|udp|icmp|icmpv6|[0-9]{1,3})$`, rule.protocol)
	well_bounded(rule.fromPort)
	well_bounded(rule.toPort)
	is_array(rule.cidrs4)
	is_array(rule.cidrs6)
	is_array(rule.prefixLists)
	every block in rule.cidrs4 { is_number(prefix4(block)) }
	every block in rule.cidrs6 { is_number(prefix6(block)) }
}

well_bounded(null)

well_bounded(port) if is_number(port)

# Length of the prefix of a block; undefined for what is none.
prefix4(block) := to_number(split(block, "/")[1]) if {
	regex.match(`^([0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])(\.([0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])){3}/([0-9]|[12][0-9]|3[0-2])$`, block)
}

prefix6(block) := to_number(split(block, "/")[1]) if {
	regex.match(`^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$`, block)
}

# By index of a rule, which of the ports it opens, as people write them.
opened[i] := ports if {
	some i, rule in group.ingress
	ports := {port | some port in input.params.ports; opens(rule, port)}
	count(ports) > 0
}

opens(rule, port) if {
	rule.protocol in {"all", "-1"}
	is_number(to_number(port))
}

opens(rule, port) if {
	rule.protocol in {"tcp", "udp", "6", "17"}
	number := to_number(port)
	from(rule) <= number
	number <= to(rule)
}

from(rule) := 0 if {
	object.get(rule, "fromPort", null) in {null, -1}
} else := rule.fromPort

to(rule) := 65535 if {
	object.get(rule, "toPort", null) in {null, -1}
} else := rule.toPort

# By index of such a rule, through which blocks it admits the world: one that is wide enough, or its part in many.
open[i] := blocks if {
	some i, ports in opened
	parts := {block |
		some port in ports
		some family in crowded[port]
		some block in addresses[family][i]
	}
	blocks := {block | some family, _ in families; some block in addresses[family][i]; wide(family, block)} | parts
	count(blocks) > 0
}

# Ports that narrower blocks open to as many addresses together, by family.
crowded[port] contains family if {
	some port in input.params.ports
	some family, _ in families
	blocks := {block |
		some i, ports in opened
		ports[port]
		some block in addresses[family][i]
		not wide(family, block)
	}
	sum([weight(family, block) | some block in blocks]) >= powers[32 - widest[family]]
}

families := {"cidrs4": private4, "cidrs6": private6}

widest := {"cidrs4": input.params.widestIpv4, "cidrs6": input.params.widestIpv6}

# By index of a rule, the public blocks of a family that it admits.
addresses[family][i] := blocks if {
	some family, private in families
	some i, _ in opened
	blocks := {block |
		some block in group.ingress[i][family]
		is_number(length(family, block))
		not within(private, block)
	}
}

length("cidrs4", block) := prefix4(block)

length("cidrs6", block) := prefix6(block)

wide(family, block) if length(family, block) <= widest[family]

# In blocks of length 32, those of IPv6 too: narrower ones are too few to count.
weight(family, block) := powers[32 - length(family, block)] if {
	length(family, block) <= 32
} else := 0

within(list, block) if {
	some range in list
	net.cidr_contains(range, block)
}

private4 := ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"]

private6 := ["fc00::/7", "fe80::/10", "::1/128"]

powers := [power | some shift in numbers.range(0, 32); power := bits.lsh(1, shift)]

unread_lists contains list if {
	some i, _ in opened
	some list in group.ingress[i].prefixLists
	not list in input.params.prefixLists
}
