package guardian.postgres.durability_test

import data.guardian.postgres.durability

good := {"fsync": "on", "full_page_writes": "on", "data_checksums": "on", "synchronous_commit": "on", "port": "5432"}

server(settings, overrides) := {
	"kind": "postgres.Server",
	"id": "pg:erp-db/server",
	"attributes": {"settings": settings, "overrides": overrides},
}

found(resource, commit) := findings if {
	findings := durability.findings with input as {
		"resource": resource,
		"params": {"synchronousCommit": commit},
	}
}

verdicts(resource, commit) := [finding.verdict | some finding in found(resource, commit)]

test_durable_server_passes if {
	verdicts(server(good, []), true) == []
	verdicts(server(good, []), false) == []
}

test_each_setting_off_fails_and_is_named if {
	every name in ["fsync", "full_page_writes", "data_checksums"] {
		some finding in found(server(object.union(good, {name: "off"}), []), false)
		finding.verdict == "fail"
		contains(finding.message, sprintf("%s is off", [name]))
		finding.observed[name] == "off"
	}
}

test_asynchronous_commit_fails_where_the_tier_asks if {
	settings := object.union(good, {"synchronous_commit": "off"})
	verdicts(server(settings, []), true) == ["fail"]
	verdicts(server(settings, []), false) == []
}

test_asynchronous_commit_of_one_role_fails_whatever_its_spelling if {
	every value in ["off", "OFF", "false", "no", "0", "of"] {
		overrides := [{"role": "batch", "database": null, "settings": {"synchronous_commit": value}}]
		some finding in found(server(good, overrides), true)
		finding.verdict == "fail"
		contains(finding.message, "for role batch in database any")
		verdicts(server(good, overrides), false) == []
	}
}

test_other_overrides_and_waiting_ones_pass if {
	overrides := [
		{"role": "batch", "database": "erp", "settings": {"work_mem": "1GB"}},
		{"role": null, "database": "erp", "settings": {"synchronous_commit": "remote_apply"}},
		{"role": "x", "database": null, "settings": {"synchronous_commit": "True"}},
	]
	verdicts(server(good, overrides), true) == []
}

test_setting_that_was_not_read_is_an_error if {
	every name in ["fsync", "full_page_writes", "data_checksums", "synchronous_commit"] {
		verdicts(server(object.remove(good, [name]), []), true) == ["error"]
		verdicts(server(object.union(good, {name: {"$redacted": "x", "class": "unknown"}}), []), true) == ["error"]
	}
}

test_a_known_failure_counts_more_than_an_unread_setting if {
	verdicts(server({"fsync": "off"}, []), true) == ["fail"]
}

test_overrides_that_were_not_read_are_an_error_where_they_matter if {
	verdicts(server(good, null), true) == ["error"]
	verdicts(server(good, [{"role": "x", "database": null, "settings": null}]), true) == ["error"]
	verdicts(server(good, null), false) == []
}

test_server_without_settings_is_an_error if {
	verdicts({"kind": "postgres.Server", "id": "x", "attributes": {}}, true) == ["error"]
	verdicts({"kind": "postgres.Server", "id": "x"}, false) == ["error"]
}

test_missing_parameter_is_taken_as_asked_for if {
	settings := object.union(good, {"synchronous_commit": "off"})
	some finding in durability.findings with input as {"resource": server(settings, []), "params": {}}
	finding.verdict == "fail"
}
