package guardian.network.public_data_test

import data.guardian.network.public_data

flags := {"blockPublicAcls": true, "ignorePublicAcls": true, "blockPublicPolicy": true, "restrictPublicBuckets": true}

bucket(changes) := {
	"kind": "aws.s3.Bucket",
	"id": "arn:aws:s3:::erp-files",
	"attributes": object.union(
		{
			"name": "erp-files",
			"publicAccessBlock": null,
			"accountPublicAccessBlock": null,
			"policy": null,
			"policyPublic": null,
			"aclGrants": [{"grantee": "0123", "permission": "FULL_CONTROL"}],
			"website": false,
		},
		changes,
	),
}

found(resource) := findings if {
	findings := public_data.findings with input as {"resource": resource, "params": {"allowed": ["www"]}}
}

verdicts(changes) := {finding.verdict | some finding in found(bucket(changes))}

message(changes) := finding.message if some finding in found(bucket(changes))

everybody := {"AWS": [], "Service": [], "Federated": [], "*": true}

policy(changes) := {"policy": {"version": "2012-10-17", "statements": [object.union(
	{
		"sid": "Read",
		"effect": "Allow",
		"actions": ["s3:getobject"],
		"notActions": null,
		"resources": ["arn:aws:s3:::erp-files/*"],
		"notResources": null,
		"principals": everybody,
		"notPrincipals": null,
		"conditions": {},
	},
	changes,
)]}}

granted(who) := {"aclGrants": [{"grantee": concat("", ["http://acs.amazonaws.com/groups/global/", who]), "permission": "READ"}]}

test_bucket_that_nobody_made_public_passes if {
	verdicts({}) == set()
	verdicts(policy({"principals": {"AWS": ["arn:aws:iam::123456789012:role/app"], "Service": [], "Federated": [], "*": false}})) == set()
	verdicts(policy({"effect": "Deny"})) == set()
}

test_policy_for_everybody_fails if {
	contains(message(policy({})), "bucket erp-files is public by its policy, statement 0 (Read)")
	verdicts(policy({"principals": {"AWS": ["*"], "Service": [], "Federated": [], "*": false}})) == {"fail"}
	verdicts(policy({"principals": null, "notPrincipals": {"AWS": ["arn:aws:iam::123456789012:user/x"]}})) == {"fail"}
	contains(message(object.union(policy({"effect": "Deny"}), {"policyPublic": true})), "by its policy, as AWS judges it")
}

test_list_for_everybody_fails if {
	contains(message(granted("AllUsers")), "by its access control list, which gives everybody READ")
	contains(message(granted("AuthenticatedUsers")), "everybody with an AWS account READ")
}

test_condition_narrows_only_by_who_or_whence if {
	every conditions in [
		{"StringEquals": {"aws:PrincipalOrgID": ["o-abcdef"]}},
		{"IpAddress": {"aws:SourceIp": ["198.51.100.0/24", "2001:db8::/32"]}},
		{"ArnLike": {"aws:SourceArn": ["arn:aws:cloudfront::123456789012:distribution/*"]}},
		{"StringEquals": {"aws:SourceVpce": ["vpce-1"]}},
		{"StringLike": {"aws:SourceVpce": ["vpce-1"]}},
		{"IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}},
		{"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/r-1/*"]}},
		{"StringLike": {"aws:userid": ["AROAJQABLZS4A3QDU576Q:*"]}},
	] {
		verdicts(policy({"conditions": conditions})) == set()
	}
	every conditions in [
		{"Bool": {"aws:SecureTransport": ["true"]}},
		{"StringLike": {"aws:PrincipalOrgID": ["*"]}},
		{"StringEqualsIfExists": {"aws:PrincipalOrgID": ["o-abcdef"]}},
		{"IpAddress": {"aws:SourceIp": ["198.51.100.0/24", "0.0.0.0/0"]}},
		{"IpAddress": {"aws:SourceIp": ["::/0"]}},
		{"NotIpAddress": {"aws:SourceIp": ["198.51.100.0/24"]}},
		{"StringLike": {"aws:Referer": ["https://example.com/*"]}},
		{"ArnLike": {"aws:SourceArn": ["arn:aws:cloudfront::*:distribution/*"]}},
		{"StringEquals": {"aws:SourceVpce": []}},
		{"StringLike": {"aws:SourceVpce": ["vpce-*"]}},
		{"StringLike": {"aws:userid": ["AROAJ*"]}},
		{"StringLike": {"aws:PrincipalAccount": ["12345*"]}},
		{"StringEquals": {"aws:userid": ["anonymous"]}},
		{"StringLike": {"aws:userid": ["anon?mous"]}},
		{"IpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]}},
		{"IpAddress": {"aws:SourceIp": [block | some i in numbers.range(0, 255); block := sprintf("%d.0.0.0/8", [i])]}},
	] {
		verdicts(policy({"conditions": conditions})) == {"fail"}
	}
}

test_block_that_holds_passes_of_bucket_or_account if {
	every block in ["publicAccessBlock", "accountPublicAccessBlock"] {
		verdicts(object.union(policy({}), {block: flags})) == set()
		verdicts(object.union(granted("AllUsers"), {block: flags})) == set()
	}
}

test_block_of_new_policies_and_lists_undoes_none if {
	half := {"publicAccessBlock": object.union(flags, {"ignorePublicAcls": false, "restrictPublicBuckets": false})}
	verdicts(object.union(policy({}), half)) == {"fail"}
	verdicts(object.union(granted("AllUsers"), half)) == {"fail"}
}

test_website_on_the_list_passes_and_another_is_named_as_one if {
	contains(message(object.union(policy({}), {"website": true})), "bucket erp-files (a website) is public")
	verdicts(object.union(policy({}), {"name": "www"})) == set()
}

test_what_was_not_read_is_an_error if {
	every key in ["publicAccessBlock", "accountPublicAccessBlock", "policy", "aclGrants", "name"] {
		gone := json.remove(bucket({}), [concat("/", ["attributes", key])])
		{finding.verdict | some finding in found(gone)} == {"error"}
	}
	gone := json.remove(bucket(policy({})), ["attributes/accountPublicAccessBlock"])
	{finding.verdict | some finding in found(gone)} == {"error"}
	verdicts(policy({"effect": "allow"})) == {"error"}
}

test_what_a_block_makes_harmless_need_not_be_read if {
	resource := json.remove(
		bucket({"accountPublicAccessBlock": flags}),
		["attributes/publicAccessBlock", "attributes/policy", "attributes/aclGrants"],
	)
	found(resource) == set()
}
