package guardian.iam.key_age_test

import data.guardian.iam.key_age

key(changes) := object.union({"id": "…WXYZ", "status": "Active", "ageDays": 20, "lastUsedDays": 1}, changes)

user(keys) := {
	"kind": "aws.iam.User",
	"id": "arn:aws:iam::123456789012:user/batch",
	"attributes": {"name": "batch", "accessKeys": keys},
}

found(keys) := findings if {
	findings := key_age.findings with input as {
		"resource": user(keys),
		"params": {"maxAge": 7776000, "maxUnused": 3888000},
	}
}

verdicts(keys) := {finding.verdict | some finding in found(keys)}

message(keys) := finding.message if some finding in found(keys)

test_user_without_keys_passes if verdicts([]) == set()

test_young_key_in_use_passes if {
	verdicts([key({})]) == set()
	verdicts([key({"ageDays": 90})]) == set()
	verdicts([key({"lastUsedDays": null})]) == set()
}

test_old_key_fails if contains(message([key({"ageDays": 91})]), "access key …WXYZ is 91 days old, the limit is 90 d: replace it")

test_unused_key_fails if {
	contains(message([key({"ageDays": 60, "lastUsedDays": 46})]), "access key …WXYZ was not used for 46 days: delete it")
	contains(message([key({"ageDays": 46, "lastUsedDays": null})]), "access key …WXYZ was never used in 46 days: delete it")
}

test_two_active_keys_fail if {
	contains(message([key({}), key({"id": "…ABCD"})]), "2 access keys are active: delete all but one")
}

test_inactive_key_does_not_apply if {
	verdicts([key({}), key({"status": "Inactive", "ageDays": 900, "lastUsedDays": null})]) == set()
}

test_what_was_not_read_is_an_error if {
	verdicts(null) == {"error"}
	verdicts([key({"ageDays": null})]) == {"error"}
	verdicts([key({"status": null})]) == {"error"}
	verdicts([json.remove(key({}), ["lastUsedDays"])]) == {"error"}
	findings := key_age.findings with input as {"resource": user([key({})]), "params": {}}
	{finding.verdict | some finding in findings} == {"error"}
}
