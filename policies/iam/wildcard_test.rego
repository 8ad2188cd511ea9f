package guardian.iam.wildcard_test

import data.guardian.iam.wildcard

statement(actions, resources) := {
	"sid": null,
	"effect": "Allow",
	"actions": actions,
	"notActions": null,
	"resources": resources,
	"notResources": null,
	"conditions": {},
}

with_condition(actions, resources, conditions) := object.union(statement(actions, resources), {"conditions": conditions})

deny(actions, resources) := object.union(statement(actions, resources), {"effect": "Deny"})

policy(statements) := {
	"kind": "aws.iam.Policy",
	"id": "arn:aws:iam::123456789012:policy/ci",
	"scope": {"account": "123456789012"},
	"attributes": {
		"name": "ci",
		"arn": "arn:aws:iam::123456789012:policy/ci",
		"document": {"version": "2012-10-17", "statements": statements},
	},
}

role(documents, changes) := {
	"kind": "aws.iam.Role",
	"id": "arn:aws:iam::123456789012:role/ci",
	"scope": {"account": "123456789012"},
	"attributes": object.union(
		{
			"name": "ci",
			"arn": "arn:aws:iam::123456789012:role/ci",
			"serviceLinked": false,
			"policies": {"attached": [], "inline": [{"name": concat("", ["own-", format_int(i, 10)]), "document": {"statements": statements}} |
				some i, statements in documents
			]},
		},
		changes,
	),
}

found(resource, allowed) := findings if {
	findings := wildcard.findings with input as {"resource": resource, "params": {"allowed": allowed}}
}

verdicts(statements) := {finding.verdict | some finding in found(policy(statements), [])}

message(statements) := finding.message if {
	some finding in found(policy(statements), [])
	finding.verdict == "fail"
}

test_policy_that_names_what_it_allows_passes if {
	verdicts([statement(["s3:getobject", "s3:list*"], ["*"])]) == set()
	verdicts([statement(["ec2:*"], ["*"])]) == set()
	verdicts([statement(["iam:get*", "iam:list*"], ["*"])]) == set()
	verdicts([statement(["iam:createaccesskey"], ["arn:aws:iam::123456789012:user/${aws:username}"])]) == set()
	verdicts([]) == set()
}

test_everything_fails_however_it_is_spelled if {
	every actions in [["*"], ["*:*"], ["**"], ["s3:getobject", "*"], ["?*"]] {
		contains(message([statement(actions, ["*"])]), "policy ci: statement 0 allows every action on every resource")
	}
	every resources in [["arn:aws:s3:::x", "*"], ["arn:*"], ["arn:aws:*"], ["**"], ["arn:aws:*:*:*:*"]] {
		contains(message([statement(["*"], resources)]), "allows every action on every resource")
	}
}

test_all_of_iam_fails if {
	contains(message([statement(["iam:*"], ["*"])]), "allows every action of IAM on every resource")
	contains(message([statement(["iam:*"], ["arn:aws:iam::123456789012:*"])]), "allows every action of IAM on every resource")
	contains(message([statement(["IAM:*"], ["*"])]), "allows every action of IAM on every resource")
}

test_allow_by_exception_fails if {
	but_actions := object.union(statement(null, ["*"]), {"notActions": ["iam:*", "organizations:*"]})
	contains(message([but_actions]), "allows every action but those it excepts (NotAction) on every resource")
	but_resources := object.union(statement(["*"], null), {"notResources": ["arn:aws:s3:::erp-backups/*"]})
	contains(message([but_resources]), "allows every action on every resource but those it excepts (NotResource)")
	verdicts([object.union(statement(null, ["arn:aws:s3:::x/*"]), {"notActions": ["s3:deleteobject"]})]) == set()
}

test_each_way_to_more_rights_fails if {
	text := message([statement([action | some action, _ in wildcard.single], ["*"])])
	every action, type in wildcard.single { contains(text, concat("", ["allows ", action, " on every ", type])) }
}

test_way_that_is_narrowed_to_names_passes if {
	names := ["arn:aws:iam::123456789012:role/app", "arn:aws:iam::123456789012:user/app", "arn:aws:iam::123456789012:policy/app"]
	verdicts([statement([action | some action, _ in wildcard.single], names)]) == set()
}

test_wildcards_within_actions_and_resources_count if {
	contains(message([statement(["iam:*AccessKey"], ["*"])]), "allows iam:createaccesskey on every user")
	contains(message([statement(["iam:create*"], ["arn:aws:iam::*:user/*"])]), "allows iam:createaccesskey on every user")
	contains(message([statement(["iam:??tach*policy"], ["*"])]), "allows iam:attachrolepolicy on every role")
	contains(message([statement(["sts:Assume*"], ["arn:aws:iam::${aws:PrincipalAccount}:role/*"])]), "allows sts:assumerole on every role")
	verdicts([statement(["iam:attach*"], ["arn:aws:iam::123456789012:role/app-*"])]) == set()
	verdicts([statement(["sts:assumerole"], ["arn:aws:iam::999999999999:role/*"])]) == set()
}

test_passing_any_role_fails_with_everything_that_makes_it_run if {
	runs := {action | some combination in wildcard.combinations; some action in combination[1]}
	text := message([statement(["iam:passrole"], ["*"]), statement(sort(runs), ["*"])])
	every combination in wildcard.combinations {
		contains(text, concat("", ["iam:passrole of every role, with ", concat(" and ", combination[1]), " a way"]))
	}
}

test_passing_any_role_fails_with_one_thing_that_makes_it_run if {
	every actions in [["ec2:RunInstances"], ["lambda:Create*", "lambda:invokefunction"], ["ecs:*"]] {
		contains(message([statement(["iam:passrole"], ["*"]), statement(actions, ["*"])]), "a way to the rights of any role")
	}
}

test_passing_any_role_without_what_makes_it_run_passes if {
	verdicts([statement(["iam:passrole"], ["*"])]) == set()
	verdicts([statement(["ec2:runinstances"], ["*"]), statement(["iam:passrole"], ["arn:aws:iam::123456789012:role/web"])]) == set()
	verdicts([statement(["lambda:createfunction"], ["*"]), statement(["iam:passrole"], ["*"])]) == set()
}

passed(services) := with_condition(["iam:passrole"], ["*"], {"StringEquals": {"iam:PassedToService": services}})

test_role_passed_to_another_service_is_no_way if {
	run := statement(["ec2:runinstances"], ["*"])
	verdicts([passed(["monitoring.rds.amazonaws.com"]), run]) == set()
	verdicts([passed(["monitoring.rds.amazonaws.com", "ec2.amazonaws.com"]), run]) == {"fail"}
	like := with_condition(["iam:passrole"], ["*"], {"StringLike": {"iam:PassedToService": ["*.amazonaws.com"]}})
	verdicts([like, run]) == {"fail"}
	if_exists := with_condition(["iam:passrole"], ["*"], {"StringEqualsIfExists": {"iam:PassedToService": ["rds.amazonaws.com"]}})
	verdicts([if_exists, run]) == {"fail"}
}

test_condition_counts_where_it_narrows_what_is_reached if {
	every conditions in [
		{"StringEquals": {"aws:ResourceTag/team": ["erp"]}},
		{"StringEquals": {"iam:ResourceTag/team": ["erp"]}},
		{"StringEquals": {"iam:PermissionsBoundary": ["arn:aws:iam::123456789012:policy/boundary"]}},
		{"ArnEquals": {"iam:PolicyARN": ["arn:aws:iam::123456789012:policy/reader"]}},
	] {
		verdicts([with_condition(["iam:attachrolepolicy"], ["*"], conditions)]) == set()
	}
	every conditions in [
		{"Bool": {"aws:MultiFactorAuthPresent": ["true"]}},
		{"IpAddress": {"aws:SourceIp": ["198.51.100.0/24"]}},
		{"StringEquals": {"aws:PrincipalTag/team": ["erp"]}},
		{"StringLike": {"aws:ResourceTag/team": ["*"]}},
		{"StringNotEquals": {"aws:ResourceTag/team": ["erp"]}},
		{"ArnLike": {"iam:PolicyARN": ["arn:aws:iam::aws:policy/*"]}},
		{"ArnEquals": {"iam:PolicyARN": ["arn:aws:iam::aws:policy/AdministratorAccess"]}},
		{"ForAllValues:StringEquals": {"aws:ResourceTag/team": ["erp"]}},
	] {
		verdicts([with_condition(["iam:attachrolepolicy"], ["*"], conditions)]) == {"fail"}
	}
}

test_condition_makes_everything_no_less if {
	verdicts([with_condition(["*"], ["*"], {"Bool": {"aws:MultiFactorAuthPresent": ["true"]}})]) == {"fail"}
}

test_deny_counts_only_unconditional_and_whole if {
	keys := statement(["iam:createaccesskey"], ["*"])
	verdicts([keys, deny(["iam:*"], ["*"])]) == set()
	verdicts([keys, deny(["iam:createaccesskey"], ["arn:aws:iam::123456789012:user/*"])]) == set()
	verdicts([keys, deny(["iam:createaccesskey"], ["arn:aws:iam::123456789012:user/admin"])]) == {"fail"}
	verdicts([keys, object.union(deny(["iam:*"], ["*"]), {"conditions": {"Bool": {"aws:MultiFactorAuthPresent": ["false"]}}})]) == {"fail"}
	verdicts([statement(["*"], ["*"]), deny(["iam:*"], ["*"])]) == {"fail"}
}

test_inline_policies_of_an_identity_count_together if {
	some finding in found(role([[statement(["iam:passrole"], ["*"])], [statement(["ec2:runinstances"], ["*"])]], {}), [])
	finding.verdict == "fail"
	contains(finding.message, "role ci: inline policy own-0, statement 0 allows iam:passrole of every role, with ec2:runinstances")
}

test_identity_without_inline_policies_does_not_apply if {
	{finding.verdict | some finding in found(role([], {}), [])} == {"skip"}
}

test_role_linked_to_a_service_does_not_apply if {
	{finding.verdict | some finding in found(role([[statement(["*"], ["*"])]], {"serviceLinked": true}), [])} == {"skip"}
}

test_reviewed_policy_passes_by_arn_or_name if {
	all := policy([statement(["*"], ["*"])])
	found(all, ["arn:aws:iam::123456789012:policy/ci"]) == set()
	found(all, ["ci"]) == set()
	found(all, ["other"]) != set()
}

test_what_was_not_read_is_an_error if {
	good := policy([statement(["s3:getobject"], ["*"])])
	every path in ["attributes/document", "attributes/arn", "attributes/name", "scope/account", "attributes/document/statements"] {
		{finding.verdict | some finding in found(json.remove(good, [path]), [])} == {"error"}
	}
	every path in ["effect", "actions", "resources"] {
		{finding.verdict | some finding in found(policy([json.remove(statement(["s3:getobject"], ["*"]), [path])]), [])} == {"error"}
	}
	{finding.verdict | some finding in found(json.remove(role([], {}), ["attributes/policies"]), [])} == {"error"}
	findings := wildcard.findings with input as {"resource": good, "params": {}}
	{finding.verdict | some finding in findings} == {"error"}
}

test_boundary_that_bounds_nothing_narrows_nothing if {
	every boundary in ["AdministratorAccess", "PowerUserAccess", "*"] {
		arn := concat("", ["arn:aws:iam::aws:policy/", boundary])
		verdicts([with_condition(["iam:putrolepolicy"], ["*"], {"StringLike": {"iam:PermissionsBoundary": [arn]}})]) == {"fail"}
	}
	own := "arn:aws:iam::123456789012:policy/boundary"
	verdicts([with_condition(["iam:putrolepolicy"], ["*"], {"StringEquals": {"iam:PermissionsBoundary": [own]}})]) == set()
}

test_right_to_give_itself_more_fails if {
	every pattern in [
		"arn:aws:iam::123456789012:user/${aws:username}",
		"arn:aws:iam::*:user/${AWS:UserName}",
		"arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username, 'x'}",
	] {
		some action in ["iam:*", "iam:put*", "iam:attachuserpolicy"]
		contains(message([statement([action], [pattern])]), "userpolicy on whoever holds it, a way to more rights")
	}
	own_keys := ["iam:createaccesskey", "iam:deleteaccesskey", "iam:changepassword", "iam:enablemfadevice"]
	verdicts([statement(own_keys, ["arn:aws:iam::123456789012:user/${aws:username}"])]) == set()
	verdicts([statement(own_keys, ["arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username}"])]) == set()
	verdicts([statement(["iam:putuserpolicy"], ["arn:aws:iam::123456789012:user/${aws:PrincipalTag/deputy}"])]) == set()
	verdicts([
		statement(["iam:*"], ["arn:aws:iam::123456789012:user/${aws:username}"]),
		deny(["iam:*policy"], ["*"]),
	]) == set()
}

test_identity_that_may_change_itself_fails_by_its_inline_policy if {
	itself := "arn:aws:iam::123456789012:role/ci"
	some finding in found(role([[statement(["iam:attachrolepolicy"], [itself])]], {}), [])
	finding.verdict == "fail"
	contains(finding.message, "inline policy own-0, statement 0 allows iam:attachrolepolicy on whoever holds it")
	count(found(role([[statement(["iam:attachrolepolicy"], ["arn:aws:iam::123456789012:role/other"])]], {}), [])) == 0
	refused := [statement(["iam:attachrolepolicy"], [itself]), deny(["iam:attach*"], [itself])]
	count(found(role([refused], {}), [])) == 0
}
