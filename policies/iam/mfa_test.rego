package guardian.iam.mfa_test

import data.guardian.iam.mfa

user(changes) := {
	"kind": "aws.iam.User",
	"id": "arn:aws:iam::123456789012:user/anna",
	"attributes": object.union(
		{"name": "anna", "passwordEnabled": true, "mfaDevices": [{"serial": "arn:aws:iam::123456789012:mfa/anna", "type": "virtual"}]},
		changes,
	),
}

found(resource) := findings if {
	findings := mfa.findings with input as {"resource": resource, "params": {}}
}

verdicts(changes) := {finding.verdict | some finding in found(user(changes))}

test_password_with_a_device_passes if verdicts({}) == set()

test_password_without_a_device_fails if {
	some finding in found(user({"mfaDevices": []}))
	finding.verdict == "fail"
	contains(finding.message, "user anna has a console password and no MFA device")
}

test_user_without_a_password_does_not_apply if {
	verdicts({"passwordEnabled": false, "mfaDevices": []}) == {"skip"}
	verdicts({"passwordEnabled": false}) == {"skip"}
}

test_what_was_not_read_is_an_error if {
	verdicts({"passwordEnabled": null}) == {"error"}
	verdicts({"passwordEnabled": null, "mfaDevices": []}) == {"error"}
	verdicts({"mfaDevices": null}) == {"error"}
	every key in ["passwordEnabled", "mfaDevices"] {
		{finding.verdict | some finding in found(json.remove(user({}), [concat("/", ["attributes", key])]))} == {"error"}
	}
}
