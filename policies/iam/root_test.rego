package guardian.iam.root_test

import data.guardian.iam.root

account(changes) := {
	"kind": "aws.iam.Account",
	"id": "aws:prod/account/123456789012",
	"attributes": {
		"account": "123456789012",
		"root": object.union({"mfaActive": true, "accessKeys": 0, "lastUsedDays": 400}, changes),
	},
}

found(resource) := findings if {
	findings := root.findings with input as {"resource": resource, "params": {"usedWithin": 2592000}}
}

verdicts(changes) := {finding.verdict | some finding in found(account(changes))}

message(changes) := finding.message if some finding in found(account(changes))

test_root_that_is_locked_away_passes if verdicts({}) == set()

test_root_without_mfa_fails if {
	verdicts({"mfaActive": false}) == {"fail"}
	contains(message({"mfaActive": false}), "root of account 123456789012 has no MFA device")
}

test_root_with_access_keys_fails if contains(message({"accessKeys": 2}), "has 2 access keys: delete them")

test_root_used_lately_fails_up_to_the_limit if {
	contains(message({"lastUsedDays": 30}), "was used 30 days ago, the limit is 30 d")
	verdicts({"lastUsedDays": 31}) == set()
	verdicts({"lastUsedDays": 0}) == {"fail"}
}

test_what_is_wrong_fails_though_the_rest_was_not_read if {
	verdicts({"accessKeys": 1, "mfaActive": null, "lastUsedDays": null}) == {"fail"}
}

test_what_was_not_read_is_an_error if {
	every key in ["mfaActive", "accessKeys"] {
		verdicts({key: null}) == {"error"}
		contains(message({key: null}), "it was not read")
	}
	every key in ["mfaActive", "accessKeys", "lastUsedDays"] {
		gone := json.remove(account({}), [concat("/", ["attributes/root", key])])
		{finding.verdict | some finding in found(gone)} == {"error"}
	}
	gone := json.remove(account({}), ["attributes/root"])
	{finding.verdict | some finding in found(gone)} == {"error"}
}

test_root_that_was_never_used_passes if verdicts({"lastUsedDays": null}) == set()

test_missing_parameter_is_an_error if {
	findings := root.findings with input as {"resource": account({}), "params": {}}
	{finding.verdict | some finding in findings} == {"error"}
}
