package guardian.iam.backup_deletion_path_test

import future.keywords.not

import data.guardian.iam.backup_deletion_path as control
import data.guardian.lib.backup_deletion as deletion

account_id := "123456789012"

scope := {"account": account_id, "labels": {}}

arn(rest) := concat("", ["arn:aws:iam::", account_id, ":", rest])

statement(actions, resources) := {
	"sid": null,
	"effect": "Allow",
	"actions": actions,
	"notActions": null,
	"resources": resources,
	"notResources": null,
	"principals": null,
	"notPrincipals": null,
	"conditions": {},
}

document(statements) := {"version": "2012-10-17", "statements": statements}

bucket_arn := "arn:aws:s3:::erp-backups"

objects := [concat("", [bucket_arn, "/*"])]

deletes := statement(["s3:deleteobject"], objects)

deny(statement_to_deny) := object.union(statement_to_deny, {"effect": "Deny"})

by(statement_for, who) := object.union(statement_for, {"principals": {"AWS": who, "Service": [], "Federated": [], "*": false}})

by_all(statement_for) := object.union(statement_for, {"principals": {"AWS": [], "Service": [], "Federated": [], "*": true}})

held(attached, statements) := {
	"attached": [{"name": name, "arn": arn(concat("/", ["policy", name]))} | some name in attached],
	"inline": [{"name": "own", "document": document(statements)} | count(statements) > 0],
}

role_of(name, service, changes) := {
	"kind": "aws.iam.Role",
	"id": arn(concat("/", ["role", name])),
	"scope": scope,
	"attributes": object.union(
		{
			"name": name,
			"arn": arn(concat("/", ["role", name])),
			"trust": document([{
				"effect": "Allow",
				"actions": ["sts:assumerole"],
				"principals": {"AWS": [], "Service": [service], "Federated": [], "*": false},
				"conditions": {},
			}]),
			"policies": held([], []),
			"boundary": null,
		},
		changes,
	),
}

role(changes) := role_of("app", "ec2.amazonaws.com", changes)

guardian := role_of("guardian", "scheduler.amazonaws.com", {})

user(changes) := {
	"kind": "aws.iam.User",
	"id": arn("user/anna"),
	"scope": scope,
	"attributes": object.union(
		{"name": "anna", "arn": arn("user/anna"), "groups": [], "policies": held([], []), "boundary": null},
		changes,
	),
}

group(policies) := {
	"kind": "aws.iam.Group",
	"id": arn("group/staff"),
	"scope": scope,
	"attributes": {"name": "staff", "arn": arn("group/staff"), "policies": policies},
}

policy(name, statements) := {
	"kind": "aws.iam.Policy",
	"id": arn(concat("/", ["policy", name])),
	"scope": scope,
	"attributes": {"name": name, "arn": arn(concat("/", ["policy", name])), "document": document(statements)},
}

bucket(changes) := {
	"kind": "aws.s3.Bucket",
	"id": bucket_arn,
	"scope": scope,
	"attributes": object.union(
		{
			"name": "erp-backups",
			"backup": true,
			"versioning": "Enabled",
			"objectLock": {"enabled": false, "mode": null, "retentionDays": null},
			"policy": null,
		},
		changes,
	),
}

account(changes) := {
	"kind": "aws.iam.Account",
	"id": "aws:prod/account/123456789012",
	"scope": scope,
	"attributes": object.union(
		{"account": account_id, "caller": "arn:aws:sts::123456789012:assumed-role/guardian/scan", "callerRoleArn": null},
		changes,
	),
}

estate(changes) := object.union(
	{
		"aws.iam.Account": [account({})],
		"aws.iam.Group": [group(held([], []))],
		"aws.iam.Policy": [],
		"aws.iam.Role": [role({}), guardian],
		"aws.iam.User": [user({})],
		"aws.s3.Bucket": [bucket({})],
	},
	changes,
)

found(resources, allowed) := findings if {
	findings := control.findings with input as {
		"resources": resources,
		"params": {bucket_arn: {"allowed": allowed}},
		"incomplete": [],
	}
}

verdicts(changes) := {finding.verdict | some finding in found(estate(changes), [])}

message(changes) := finding.message if some finding in found(estate(changes), [])

roles(changes) := {"aws.iam.Role": [role(changes), guardian]}

test_bucket_that_nobody_may_delete_from_passes if {
	verdicts({}) == set()
	verdicts(roles({"policies": held([], [statement(["s3:getobject", "s3:putobject", "s3:list*"], ["*"])])})) == set()
	verdicts(roles({"policies": held([], [statement(["s3:*"], ["arn:aws:s3:::erp-files", "arn:aws:s3:::erp-files/*"])])})) == set()
}

test_other_buckets_do_not_apply if verdicts({"aws.s3.Bucket": [bucket({"backup": false})]}) == {"skip"}

test_role_of_a_workload_that_may_delete_fails_by_name if {
	text := message(roles({"policies": held([], [deletes])}))
	contains(text, "by arn:aws:iam::123456789012:role/app, which a workload can assume by ec2.amazonaws.com (s3:DeleteObject)")
}

test_every_way_to_delete_or_shorten_counts if {
	every action, name in deletion.shown {
		contains(message(roles({"policies": held([], [statement([action], ["*"])])})), name)
	}
}

test_wildcards_and_parts_of_the_bucket_count if {
	every allow in [
		statement(["s3:delete*"], ["arn:aws:s3:::erp-*"]),
		statement(["*"], ["arn:aws:s3:::erp-backups/2026/*"]),
		object.union(statement(null, ["*"]), {"notActions": ["iam:*"]}),
		object.union(statement(["s3:*"], null), {"notResources": ["arn:aws:s3:::erp-files/*"]}),
		object.union(deletes, {"conditions": {"Bool": {"aws:MultiFactorAuthPresent": ["true"]}}}),
	] {
		verdicts(roles({"policies": held([], [allow])})) == {"fail"}
	}
}

test_attached_policy_and_group_count if {
	purge := {"aws.iam.Policy": [policy("purge", [deletes])]}
	verdicts(object.union(purge, roles({"policies": held(["purge"], [])}))) == {"fail"}
	staff := {"aws.iam.Group": [group(held(["purge"], []))], "aws.iam.User": [user({"groups": ["staff"]})]}
	contains(message(object.union(purge, staff)), "by arn:aws:iam::123456789012:user/anna (s3:DeleteObject)")
	verdicts(object.union(purge, {"aws.iam.Group": [group(held(["purge"], []))]})) == set()
}

test_identity_of_guardian_is_named_as_such if {
	own := object.union(guardian, {"attributes": {"policies": held([], [deletes])}})
	contains(message({"aws.iam.Role": [own]}), "role/guardian, as which Guardian itself acts (s3:DeleteObject)")
	by_arn := {"aws.iam.Account": [account({"callerRoleArn": arn("role/guardian")})]}
	contains(message(object.union(by_arn, {"aws.iam.Role": [own]})), "as which Guardian itself acts")
}

test_guardian_as_root_fails if {
	contains(message({"aws.iam.Account": [account({"caller": arn("root")})]}), "the root user, as whom Guardian itself acts")
}

test_identity_on_the_list_passes if {
	resources := estate(roles({"policies": held([], [deletes])}))
	found(resources, [arn("role/app")]) == set()
	found(resources, [arn("role/other")]) != set()
}

test_unconditional_deny_of_all_holds if {
	verdicts(roles({"policies": held([], [deletes, deny(statement(["s3:delete*"], ["*"]))])})) == set()
	part := deny(statement(["s3:delete*"], ["arn:aws:s3:::erp-backups/2026/*"]))
	verdicts(roles({"policies": held([], [deletes, part])})) == {"fail"}
	mfa := object.union(deny(deletes), {"conditions": {"Bool": {"aws:MultiFactorAuthPresent": ["false"]}}})
	verdicts(roles({"policies": held([], [deletes, mfa])})) == {"fail"}
}

refusing(conditions) := {"aws.s3.Bucket": [bucket({"policy": document([object.union(by_all(deny(deletes)), {"conditions": conditions})])})]}

test_deny_of_the_bucket_holds_but_for_whom_it_excepts if {
	may := roles({"policies": held([], [deletes])})
	verdicts(object.union(may, refusing({}))) == set()
	verdicts(object.union(may, refusing({"ArnNotEquals": {"aws:PrincipalArn": [arn("role/backup-admin")]}}))) == set()
	verdicts(object.union(may, refusing({"ArnNotLike": {"aws:PrincipalArn": [arn("role/a*")]}}))) == {"fail"}
	verdicts(object.union(may, refusing({"StringNotEquals": {"aws:SourceVpc": ["vpc-1"]}}))) == {"fail"}
}

test_boundary_that_was_read_limits_and_one_that_was_not_does_not if {
	may := roles({"policies": held([], [deletes]), "boundary": arn("policy/boundary")})
	verdicts(may) == {"fail"}
	verdicts(object.union(may, {"aws.iam.Policy": [policy("boundary", [statement(["s3:getobject"], ["*"])])]})) == set()
	verdicts(object.union(may, {"aws.iam.Policy": [policy("boundary", [statement(["s3:*"], ["*"])])]})) == {"fail"}
	verdicts(object.union(may, {"aws.iam.Policy": [policy("boundary", [statement(["s3:*"], ["*"]), deny(deletes)])]})) == set()
}

granting(statements) := {"aws.s3.Bucket": [bucket({"policy": document(statements)})]}

test_policy_of_the_bucket_grants_too if {
	contains(message(granting([by(deletes, [arn("role/app")])])), "role/app, which a workload can assume")
	contains(message(granting([by(deletes, ["arn:aws:sts::123456789012:assumed-role/app/i-1"])])), "role/app, which a workload can assume")
	verdicts(granting([by(deletes, [arn("root")])])) == set()
	verdicts(granting([by(statement(["s3:getobject"], objects), ["999999999999"])])) == set()
}

test_outsiders_in_the_policy_of_the_bucket_fail if {
	contains(message(granting([by_all(deletes)])), "*, everybody, by the policy of the bucket (s3:DeleteObject)")
	every who in ["999999999999", "arn:aws:iam::999999999999:root", "arn:aws:iam::999999999999:role/x", arn("role/gone")] {
		contains(message(granting([by(deletes, [who])])), concat("", [who, ", by the policy of the bucket"]))
	}
	service := object.union(deletes, {"principals": {"AWS": [], "Service": ["backup.amazonaws.com"], "Federated": [], "*": false}})
	contains(message(granting([service])), "backup.amazonaws.com, by the policy of the bucket")
	except := object.union(by_all(deny(deletes)), {"conditions": {"ArnNotEquals": {"aws:PrincipalArn": [arn("role/backup-admin")]}}})
	verdicts(granting([by_all(deletes), except])) == set()
	verdicts(granting([by(deletes, ["AROAEXAMPLEEXAMPLE12"])])) == set()
}

test_lock_in_compliance_takes_away_what_s3_refuses if {
	locked := {"objectLock": {"enabled": true, "mode": "COMPLIANCE", "retentionDays": 35}}
	may := roles({"policies": held([], [statement(["s3:*"], ["*"])])})
	text := message(object.union(may, {"aws.s3.Bucket": [bucket(locked)]}))
	contains(text, "s3:DeleteBucketPolicy, s3:PutBucketAcl, s3:PutBucketObjectLockConfiguration")
	not contains(text, "s3:DeleteObject")
	only := roles({"policies": held([], [deletes, statement(["s3:deleteobjectversion"], objects)])})
	verdicts(object.union(only, {"aws.s3.Bucket": [bucket(locked)]})) == set()
	governed := {"objectLock": {"enabled": true, "mode": "GOVERNANCE", "retentionDays": 35}}
	verdicts(object.union(only, {"aws.s3.Bucket": [bucket(governed)]})) == {"fail"}
	suspended := object.union(locked, {"versioning": "Suspended"})
	verdicts(object.union(only, {"aws.s3.Bucket": [bucket(suspended)]})) == {"fail"}
}

test_what_was_not_read_is_an_error if {
	every kind in ["aws.iam.Account", "aws.iam.Group", "aws.iam.Policy", "aws.iam.Role", "aws.iam.User"] {
		{finding.verdict | some finding in found(json.remove(estate({}), [kind]), [])} == {"error"}
		findings := control.findings with input as {
			"resources": estate({}),
			"params": {bucket_arn: {"allowed": []}},
			"incomplete": [kind],
		}
		{finding.verdict | some finding in findings} == {"error"}
	}
}

test_identity_with_an_unexpected_form_is_an_error if {
	verdicts(roles({"policies": held(["unread"], [])})) == {"error"}
	verdicts(roles({"policies": null})) == {"error"}
	verdicts(roles({"trust": null})) == {"error"}
	verdicts(roles({"policies": held([], [object.union(deletes, {"effect": "allow"})])})) == {"error"}
	verdicts({"aws.iam.User": [user({"groups": ["unread"]})]}) == {"error"}
}

test_bucket_with_an_unexpected_form_is_an_error if {
	every key in ["backup", "policy", "objectLock", "name"] {
		gone := [json.remove(bucket({}), [concat("/", ["attributes", key])])]
		verdicts({"aws.s3.Bucket": gone}) == {"error"}
	}
	verdicts({"aws.s3.Bucket": [json.remove(bucket({}), ["scope/account"])]}) == {"error"}
	findings := control.findings with input as {"resources": estate({}), "params": {}, "incomplete": []}
	{finding.verdict | some finding in findings} == {"error"}
}

test_guardian_whose_rights_were_not_read_is_an_error if {
	contains(message({"aws.iam.Role": [role({})]}), "but Guardian acts as arn:aws:sts::123456789012:assumed-role/guardian/scan")
	verdicts({"aws.iam.Account": []}) == {"error"}
}

test_more_than_twenty_identities_are_counted if {
	many := [role_of(concat("-", ["app", format_int(i, 10)]), "ec2.amazonaws.com", {"policies": held([], [deletes])}) |
		some i in numbers.range(1, 23)
	]
	some finding in found(estate({"aws.iam.Role": array.concat([guardian], many)}), [])
	endswith(finding.message, "; and 3 more")
	finding.observed.count == 23
	count(finding.observed.identities) == 20
}
