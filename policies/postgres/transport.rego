# METADATA
# scope: package
# title: From off the machine, PostgreSQL is reached over TLS and with real authentication only
# description: |
#   A server that listens beyond its own machine has TLS on, in version 1.2 or newer, and every rule of its pg_hba.conf that
#   admits connections from off the machine is `hostssl` (or `hostgssenc`) with a method that can be trusted there: never
#   `trust`, `password` or `md5`, and never a plain `host`, which lets a client do without TLS. Rules for the socket, for
#   loopback addresses and `samehost` are on the machine, `reject` rules admit nobody. A server that listens on its socket
#   alone satisfies this whatever its rules say. Every rule counts, also one that an earlier rule hides, and rules that a
#   server listening on loopback alone holds ready. A line that cannot be parsed fails: the server runs on with rules that
#   nobody sees. Rules are those of the files as they are, which a running server may not have loaded yet. Not judged:
#   certificates, ciphers, and what clients ask for (`sslmode`).
# related_resources:
#   - ref: https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
#     description: PostgreSQL, the pg_hba.conf file
#   - ref: https://www.postgresql.org/docs/current/ssl-tcp.html
#     description: PostgreSQL, secure TCP/IP connections with SSL
# custom:
#   id: postgres.transport
#   scope: snapshot
#   severity: critical
#   remediation: |
#     Put server.crt and server.key in place, `ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf();`, and
#     `ALTER SYSTEM RESET ssl_min_protocol_version` where it names an old one. In pg_hba.conf, make
#     each rule that is named `hostssl … scram-sha-256` (or `cert`), or narrow its address to this machine, or remove it;
#     passwords kept as md5 must be set anew first. Then `SELECT pg_reload_conf();` and look at `pg_hba_file_rules`. A
#     server that only this machine uses: `listen_addresses = ''` or `localhost`. Where the rules were not read, let
#     Guardian's role read them: deploy/postgres-role.sql.
#   inputs: [postgres.Server, postgres.HbaRule]
#   judges: [postgres.Server]
#   frameworks:
#     nist-800-53r5: [SC-8(1)]
#     iso-27001-2022: [A.8.24]
#     soc2: [CC6.7]
#     pci-dss-v4: ["4.2"]
#   stages: [audit]
#   uses: [incomplete]
package guardian.postgres.transport

import future.keywords.not

import data.guardian.lib.outcome

servers := input.resources["postgres.Server"]

all_rules := input.resources["postgres.HbaRule"]

# By server, so that many servers with many rules cost no more than their number.
rules_of[name] contains rule if {
	some rule in all_rules
	name := rule.source.name
}

rules(server) := object.get(rules_of, server.source.name, set())

judged contains server.id if some server in servers

findings contains finding if {
	some server in servers
	finding := verdict(server)
	finding.verdict != "pass"
}

verdict(server) := outcome.proved if {
	server.attributes.settings.listen_addresses == ""
} else := outcome.fail(server.id, message, expected, observed) if {
	found := sort([[rule.id, text, rule] | some rule in rules(server); text := wrong_rule(rule)])
	wrong := array.concat(wrong_server(server), [sprintf("%s %s", [outcome.short(entry[0]), entry[1]]) | some entry in found])
	count(wrong) > 0
	message := sprintf("%s%s", [concat("; ", outcome.first(wrong)), outcome.rest(count(wrong))])
	expected := {"ssl": "on", "rules from off the machine": "hostssl, without trust, password or md5"}
	observed := {
		"ssl": object.get(server.attributes, ["settings", "ssl"], null),
		"listenAddresses": object.get(server.attributes, ["settings", "listen_addresses"], null),
		"rules": [object.filter(entry[2].attributes, shown) | some entry in outcome.first(found)],
	}
} else := outcome.proved if {
	rules_complete(server)
	every rule in rules(server) {
		right_rule(rule)
	}
	protected(server.attributes.settings)
} else := outcome.error(server.id, message) if {
	not rules_complete(server)
	message := sprintf("who may come from off the machine is not known: the access rules of the server were not all read%s", [why])
} else := outcome.unknown(server.id)

why := " (a source of postgres.HbaRule could not be read)" if {
	"postgres.HbaRule" in input.incomplete
} else := ""

# As many as the server itself counted, and no server is without any.
rules_complete(server) if {
	is_array(input.incomplete)
	count(rules(server)) > 0
	count(rules(server)) == server.attributes.hbaRules
}

shown := {"type", "databases", "users", "address", "netmask", "method", "file", "line"}

wrong_server(server) := ["TLS is off (ssl = off) on a server that others can reach"] if {
	server.attributes.settings.ssl == "off"
	is_string(server.attributes.settings.listen_addresses)
	not loopback_only(server.attributes.settings.listen_addresses)
} else := [message] if {
	server.attributes.settings.ssl == "on"
	server.attributes.settings.ssl_min_protocol_version in outdated
	is_string(server.attributes.settings.listen_addresses)
	not loopback_only(server.attributes.settings.listen_addresses)
	message := sprintf("TLS older than 1.2 is spoken (ssl_min_protocol_version = '%s')", [server.attributes.settings.ssl_min_protocol_version])
} else := []

# Empty: whatever the library still speaks.
outdated := {"", "TLSv1", "TLSv1.1"}

protected(settings) if {
	settings.ssl == "on"
	is_string(settings.listen_addresses)
}

protected(settings) if {
	settings.ssl == "off"
	loopback_only(settings.listen_addresses)
}

loopback_only(addresses) if {
	listed := [trim_space(address) | some address in split(addresses, ",")]
	count(listed) > 0
	every address in listed {
		loopback_address(address)
	}
}

loopback_address("localhost")

loopback_address("::1")

# Not by a regular expression, which would add half as much again to the compiled policies.
loopback_address(address) if {
	parts := split(address, ".")
	count(parts) == 4
	parts[0] == "127"
	every part in parts {
		part != ""
		trim(part, "0123456789") == ""
	}
}

# What admits from off the machine though it may not; undefined where a rule is right, or where a fact is missing.
wrong_rule(rule) := "cannot be parsed" if {
	is_string(rule.attributes.error)
	not in_order(rule.attributes.error)
} else := sprintf("admits from %s by %s%s", [place(rule.attributes), rule.attributes.method, without_tls(rule.attributes)]) if {
	rule.attributes.type in network
	is_string(rule.attributes.address)
	is_string(rule.attributes.method)
	not right_rule(rule)
}

without_tls(attributes) := "" if {
	attributes.type in object.keys(methods)
} else := sprintf(", without TLS if the client likes (%s)", [attributes.type])

place(attributes) := outcome.short(sprintf("%s/%s", [attributes.address, attributes.netmask])) if {
	is_string(attributes.netmask)
} else := outcome.short(attributes.address)

right_rule(rule) if {
	in_order(rule.attributes.error)
	rule.attributes.type == "local"
}

right_rule(rule) if {
	in_order(rule.attributes.error)
	rule.attributes.type in network
	rule.attributes.method == "reject"
}

right_rule(rule) if {
	in_order(rule.attributes.error)
	rule.attributes.type in network
	is_string(rule.attributes.method)
	on_the_machine(rule.attributes)
}

right_rule(rule) if {
	in_order(rule.attributes.error)
	is_string(rule.attributes.address)
	rule.attributes.method in methods[rule.attributes.type]
}

# A line is in order also where it only says that it matches nobody while TLS is off, or GSSAPI is not built in: it is
# parsed, and judged as if it did. These words the server does not translate.
in_order(error) if error == null

in_order(error) if {
	is_string(error)
	some type in ["hostssl", "hostgssenc"]
	startswith(error, concat("", [type, " record cannot match because "]))
}

network := {"host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"}

# By type of rule, what may authenticate across a network. Some send the password as it is, which TLS then covers.
methods := {
	"hostssl": {"scram-sha-256", "cert", "gss", "sspi", "ldap", "radius", "pam", "bsd", "oauth"},
	"hostgssenc": {"scram-sha-256", "gss"},
}

on_the_machine(attributes) if attributes.address in {"samehost", "localhost"}

# 127.0.0.0/8 and what lies in it; a host name has no netmask.
on_the_machine(attributes) if {
	startswith(attributes.address, "127.")
	startswith(attributes.netmask, "255.")
}

on_the_machine(attributes) if {
	attributes.address == "::1"
	attributes.netmask == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
}
