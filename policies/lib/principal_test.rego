package guardian.lib.principal_test

import data.guardian.lib.principal

role := "arn:aws:iam::123456789012:role/path/app"

session := "arn:aws:sts::123456789012:assumed-role/app/i-0123"

named(list) := {"principals": {"AWS": list, "Service": [], "Federated": [], "*": false}}

except(list) := {"principals": null, "notPrincipals": {"AWS": list}}

test_session_of_a_role_is_that_role if {
	principal.identity_of(session) == principal.identity_of(role)
	principal.identity_of("arn:aws:iam::123456789012:user/app") != principal.identity_of(role)
	principal.identity_of("arn:aws:iam::999999999999:role/app") != principal.identity_of(role)
}

test_allow_to_a_session_is_one_to_the_role_and_a_deny_is_not if {
	principal.about(named([session]), role)
	count([true | principal.denies(named([session]), role)]) == 0
	principal.denies(named([role]), role)
}

test_deny_of_the_account_is_about_all_in_it_and_an_allow_is_not if {
	every name in ["123456789012", "arn:aws:iam::123456789012:root"] {
		principal.denies(named([name]), role)
		count([true | principal.about(named([name]), role)]) == 0
	}
	count([true | principal.denies(named(["999999999999"]), role)]) == 0
}

test_who_is_excepted_by_not_principal_is_meant_by_neither if {
	principal.denies(except(["arn:aws:iam::123456789012:user/anna"]), role)
	count([true | principal.denies(except([session]), role)]) == 0
	count([true | principal.about(except([role]), role)]) == 0
}

test_deny_with_a_condition_holds_only_where_it_excepts_by_arn if {
	principal.excepted({"conditions": {}}) == []
	values := ["arn:aws:iam::123456789012:role/admin*"]
	principal.excepted({"conditions": {"ArnNotLike": {"aws:PrincipalArn": values}}}) == values
	principal.holds_for(values, role)
	count([true | principal.holds_for(values, "arn:aws:iam::123456789012:role/admin-2")]) == 0
	every conditions in [
		{"Bool": {"aws:SecureTransport": ["false"]}},
		{"ArnLike": {"aws:PrincipalArn": values}},
		{"ArnNotLike": {"aws:PrincipalArn": values, "aws:SourceArn": values}},
		{"ArnNotLike": {"aws:PrincipalArn": values}, "Bool": {"aws:SecureTransport": ["false"]}},
		{"StringNotLike": {"aws:userid": ["AROA*"]}},
	] {
		count([true | principal.excepted({"conditions": conditions})]) == 0
	}
}
