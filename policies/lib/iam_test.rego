package guardian.lib.iam_test

import data.guardian.lib.iam

statement(changes) := object.union(
	{"effect": "Allow", "actions": ["s3:getobject"], "resources": ["*"], "conditions": {}},
	changes,
)

test_star_is_any_text_and_question_mark_one_character if {
	every pattern in ["s3:deleteobject", "*", "s3:*", "*object", "s3:*object", "s3:delete?bject", "s?:d*e*o*t", "**"] {
		iam.matches(pattern, "s3:deleteobject") == true
	}
	every pattern in ["", "s3:", "s3:delete", "s3:deleteobject?", "s3:delete*version", "s3.deleteobject", "s3:?"] {
		iam.matches(pattern, "s3:deleteobject") == false
	}
}

test_what_means_something_to_regular_expressions_means_itself if {
	iam.matches("a.c?", "a.cd") == true
	iam.matches("a.c?", "abcd") == false
	iam.matches("?(a|b)[c]{2}^$\\+", "x(a|b)[c]{2}^$\\+") == true
}

test_pattern_overlaps_and_covers_what_begins_with_a_prefix if {
	objects := {"prefix": "arn:aws:s3:::b/"}
	every pattern in ["*", "arn:aws:s3:::b*", "arn:aws:s3:::b/*", "arn:*"] {
		iam.overlaps(pattern, objects) == true
		iam.covers(pattern, objects) == true
	}
	every pattern in ["arn:aws:s3:::b/2026/*", "arn:aws:s3:::b/*/x", "arn:aws:s3:::?/key", "arn:aws:s3:::${aws:username}/*", "arn:aws:s3:::b/", "arn:aws:s3:::*/"] {
		iam.overlaps(pattern, objects) == true
		iam.covers(pattern, objects) == false
	}
	every pattern in ["arn:aws:s3:::b", "arn:aws:s3:::c*", "arn:aws:s3:::bb/*", "arn:aws:s3:::?"] {
		iam.overlaps(pattern, objects) == false
		iam.covers(pattern, objects) == false
	}
}

test_actions_are_found_by_service_and_in_any_case if {
	wanted := {"s3": {"s3:deleteobject", "s3:deletebucket"}, "iam": {"iam:passrole"}}
	iam.actions({"actions": ["S3:Delete*"]}, wanted) == {"s3:deleteobject", "s3:deletebucket"}
	iam.actions({"actions": ["*"]}, wanted) == {"s3:deleteobject", "s3:deletebucket", "iam:passrole"}
	iam.actions({"actions": ["ec2:*", "s3:DeleteBucket"]}, wanted) == {"s3:deletebucket"}
	iam.actions({"actions": null, "notActions": ["s3:*"]}, wanted) == {"iam:passrole"}
}

test_documents_are_well_formed_where_every_statement_is if {
	iam.well_formed({"statements": [statement({}), statement({"effect": "Deny", "actions": null, "notActions": ["a:b"]})]})
	iam.well_formed({"statements": []})
}

test_statement_that_cannot_be_read_is_not_well_formed if {
	every change in [
		{"effect": "allow"},
		{"actions": null},
		{"actions": "s3:*"},
		{"actions": [1]},
		{"notActions": []},
		{"resources": null},
		{"notResources": ["*"]},
		{"conditions": []},
		{"conditions": {"StringEquals": {"a": "b"}}},
	] {
		count([true | iam.well_formed({"statements": [statement(change)]})]) == 0
	}
	count([true | iam.well_formed({"statements": {}})]) == 0
	count([true | iam.well_formed(null)]) == 0
}

test_only_positive_operators_name_what_is_demanded if {
	found := iam.demands({"conditions": {
		"StringEquals": {"aws:PrincipalOrgID": ["o-1"]},
		"ForAnyValue:ArnLike": {"aws:SourceArn": ["arn:aws:sns:*"]},
		"StringNotEquals": {"aws:username": ["anna"]},
		"StringEqualsIfExists": {"aws:SourceVpc": ["vpc-1"]},
		"Null": {"aws:TokenIssueTime": ["true"]},
	}})
	{key | some [key, _, _] in found} == {"aws:principalorgid", "aws:sourcearn"}
}
