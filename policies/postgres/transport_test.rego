package guardian.postgres.transport_test

import future.keywords.not

import data.guardian.postgres.transport

source := {"collector": "postgres", "name": "erp-db"}

server(settings, rules) := {
	"kind": "postgres.Server",
	"id": "pg:erp-db/server",
	"source": source,
	"attributes": {
		"settings": object.union({"ssl": "on", "listen_addresses": "*"}, settings),
		"hbaRules": count(rules),
	},
}

rule(line, changes) := {
	"kind": "postgres.HbaRule",
	"id": sprintf("pg:erp-db/hba/pg_hba.conf:%d", [line]),
	"source": source,
	"attributes": object.union(
		{
			"type": "hostssl",
			"databases": ["all"],
			"users": ["all"],
			"address": "all",
			"netmask": null,
			"method": "scram-sha-256",
			"options": [],
			"error": null,
			"file": "/etc/pg_hba.conf",
			"line": line,
		},
		changes,
	),
}

socket := rule(1, {"type": "local", "address": null, "method": "trust"})

document(one_server, rules, incomplete) := {
	"resources": {"postgres.Server": [one_server], "postgres.HbaRule": rules},
	"params": {one_server.id: {}},
	"incomplete": incomplete,
}

found(settings, rules) := findings if {
	findings := transport.findings with input as document(server(settings, rules), rules, [])
}

verdicts(settings, rules) := [finding.verdict | some finding in found(settings, rules)]

one(changes) := verdicts({}, [socket, rule(2, changes)])

test_tls_with_scram_passes if one({}) == []

test_server_on_its_socket_alone_passes_whatever_its_rules_say if {
	verdicts({"ssl": "off", "listen_addresses": ""}, [rule(1, {"type": "host", "method": "trust"})]) == []
	verdicts({"listen_addresses": ""}, []) == []
}

test_tls_off_fails_where_others_can_reach_the_server if {
	every addresses in ["*", "0.0.0.0", "localhost,10.0.0.5", "127.example.com", "\"localhost\""] {
		some finding in found({"ssl": "off", "listen_addresses": addresses}, [socket])
		finding.verdict == "fail"
		contains(finding.message, "TLS is off")
	}
	every addresses in ["localhost", "127.0.0.1, ::1"] {
		verdicts({"ssl": "off", "listen_addresses": addresses}, [socket]) == []
	}
}

test_plain_host_from_off_the_machine_fails_whatever_its_method if {
	every type in ["host", "hostnossl", "hostnogssenc"] {
		every method in ["trust", "password", "md5", "scram-sha-256", "gss", "ldap", "ident"] {
			some finding in found({}, [socket, rule(2, {
				"type": type,
				"method": method,
				"address": "0.0.0.0",
				"netmask": "0.0.0.0",
			})])
			finding.verdict == "fail"
			contains(finding.message, sprintf("pg_hba.conf:2 admits from 0.0.0.0/0.0.0.0 by %s, without TLS", [method]))
			[entry.line | some entry in finding.observed.rules] == [2]
		}
	}
}

test_trust_password_and_md5_fail_also_within_tls if {
	every method in ["trust", "password", "md5", "ident"] {
		some finding in found({}, [socket, rule(2, {"method": method})])
		finding.verdict == "fail"
		contains(finding.message, sprintf("pg_hba.conf:2 admits from all by %s", [method]))
		not contains(finding.message, "without TLS")
	}
}

test_real_authentication_within_tls_passes_and_within_gss_encryption_what_sends_no_password if {
	every method in ["cert", "gss", "sspi", "ldap", "radius", "pam", "oauth", "reject"] {
		one({"method": method}) == []
	}
	one({"type": "hostgssenc", "method": "gss"}) == []
	one({"type": "hostgssenc", "method": "ldap"}) == ["fail"]
}

test_rules_for_this_machine_and_rules_that_reject_pass if {
	every changes in [
		{"address": "127.0.0.1", "netmask": "255.255.255.255"},
		{"address": "127.0.0.0", "netmask": "255.0.0.0"},
		{"address": "::1", "netmask": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"address": "samehost"},
		{"address": "localhost"},
		{"address": "0.0.0.0", "netmask": "0.0.0.0", "method": "reject"},
	] {
		one(object.union({"type": "host", "method": "trust"}, changes)) == []
	}
}

test_addresses_that_only_look_like_this_machine_fail if {
	every changes in [
		{"address": "127.0.0.1", "netmask": "0.0.0.0"},
		{"address": "127.0.0.1", "netmask": null},
		{"address": "127.example.com"},
		{"address": "::1", "netmask": "::"},
		{"address": "samenet"},
		{"address": ".localhost"},
	] {
		one(object.union({"type": "host", "method": "trust"}, changes)) == ["fail"]
	}
}

test_rule_that_a_loopback_server_holds_ready_fails if {
	rules := [socket, rule(2, {"type": "host", "address": "10.0.0.0", "netmask": "255.0.0.0"})]
	verdicts({"ssl": "off", "listen_addresses": "127.0.0.1"}, rules) == ["fail"]
}

test_line_that_cannot_be_parsed_fails if {
	broken := rule(2, {"type": null, "address": null, "method": null, "error": "invalid authentication method ..."})
	some finding in found({}, [socket, broken])
	finding.verdict == "fail"
	contains(finding.message, "pg_hba.conf:2 cannot be parsed")
}

test_line_that_matches_nobody_while_tls_is_off_is_judged_as_if_it_did if {
	idle := {"error": "hostssl record cannot match because SSL is disabled"}
	local := {"ssl": "off", "listen_addresses": "localhost"}
	verdicts(local, [socket, rule(2, idle)]) == []
	verdicts(local, [socket, rule(2, object.union(idle, {"method": "trust"}))]) == ["fail"]
	verdicts(local, [socket, rule(2, {"error": "hostssl record cannot match ..."})]) == ["fail"]
}

test_rules_that_were_not_all_read_are_an_error_but_hide_no_failure if {
	rules := [socket, rule(2, {})]
	every count in [null, 1, 3] {
		partly := object.union(server({}, rules), {"attributes": {"hbaRules": count}})
		some finding in transport.findings with input as document(partly, rules, [])
		finding.verdict == "error"
	}
	some unread in transport.findings with input as document(server({}, []), [], ["postgres.HbaRule"])
	unread.verdict == "error"
	contains(unread.message, "a source of postgres.HbaRule could not be read")
	trusting := [socket, rule(2, {"method": "trust"})]
	some wrong in transport.findings with input as document(server({}, rules), trusting, ["postgres.HbaRule"])
	wrong.verdict == "fail"
}

test_rules_of_another_server_neither_help_nor_harm if {
	foreign := object.union(rule(2, {"method": "trust"}), {"source": {"collector": "postgres", "name": "other"}})
	findings := transport.findings with input as document(server({}, [socket]), [socket, foreign], [])
	count(findings) == 0
	some finding in transport.findings with input as document(server({}, [foreign]), [foreign], [])
	finding.verdict == "error"
}

test_missing_facts_never_pass if {
	every changes in [{"type": null}, {"address": null}, {"method": null}, {"error": 7}] {
		one(changes) != []
	}
	one({"address": null}) == ["error"]
	verdicts({"ssl": null}, [socket]) == ["error"]
	verdicts({"listen_addresses": null}, [socket]) == ["error"]
	verdicts({"ssl": "off", "listen_addresses": null}, [socket]) == ["error"]
}

test_tls_older_than_it_may_be_fails_on_a_server_that_others_can_reach if {
	rules := [socket, rule(2, {})]
	every version in ["", "TLSv1", "TLSv1.1"] {
		verdicts({"ssl_min_protocol_version": version}, rules) == ["fail"]
		verdicts({"ssl_min_protocol_version": version, "listen_addresses": "localhost"}, rules) == []
	}
	every version in ["TLSv1.2", "TLSv1.3"] {
		verdicts({"ssl_min_protocol_version": version}, rules) == []
	}
}
