# METADATA
# scope: package
# title: Whom statements are about
# description: |
#   Identities by their ARN, as a statement names them, excepts them, and lets them assume a role. Statements are well formed.
package guardian.lib.principal

import future.keywords.not

import data.guardian.lib.iam

# about(statement, arn): an Allow may be about this identity. By its ARN or by that of a session, by everybody, or by not
# being excepted.
about(statement, _) if everybody(statement)

about(statement, arn) if {
	some name in iam.principals(statement, "AWS")
	identity_of(name) == identity_of(arn)
}

about(statement, arn) if not_excepted(statement, arn)

# denies(statement, arn): a Deny is surely about all sessions of this identity. One about the account is about all in it.
denies(statement, _) if everybody(statement)

denies(statement, arn) if arn in iam.principals(statement, "AWS")

denies(statement, arn) if {
	some name in iam.principals(statement, "AWS")
	account(name) == split(arn, ":")[4]
}

denies(statement, arn) if not_excepted(statement, arn)

everybody(statement) if {
	iam.anyone(statement)
	not is_object(statement.notPrincipals)
}

not_excepted(statement, arn) if {
	is_object(statement.notPrincipals)
	every name in object.get(statement.notPrincipals, "AWS", []) {
		name != "*"
		identity_of(name) != identity_of(arn)
	}
	not statement.notPrincipals["*"] == true
}

# account(name): which account as a whole a principal names.
account(name) := name if {
	regex.match("^[0-9]{12}$", name)
} else := split(name, ":")[4] if {
	endswith(name, ":root")
}

# Roles are told apart by account and name: the ARN of a session has no path.
identity_of(arn) := [parts[4], "role", names[count(names) - 1]] if {
	parts := split(arn, ":")
	parts[2] == "iam"
	startswith(parts[5], "role/")
	names := split(parts[5], "/")
} else := [parts[4], "role", names[1]] if {
	parts := split(arn, ":")
	parts[2] == "sts"
	startswith(parts[5], "assumed-role/")
	names := split(parts[5], "/")
} else := arn

# excepted(statement) is undefined where a condition leaves open when a Deny holds.
excepted(statement) := [] if {
	iam.unconditional(statement)
} else := values if {
	count(statement.conditions) == 1
	some operator, keys in statement.conditions
	lower(operator) in {"arnnotequals", "arnnotlike", "stringnotequals", "stringnotlike"}
	count(keys) == 1
	some key, values in keys
	lower(key) == "aws:principalarn"
	iam.texts(values)
}

holds_for(exceptions, arn) if {
	every pattern in exceptions { iam.matches(iam.loose(pattern), arn) == false }
}

# workloads(statement): what of it lets a workload assume a role, a service or a provider of identities of its own.
workloads(statement) := {"everybody"} if {
	iam.anyone(statement)
} else := {who | some who in iam.principals(statement, "Service"); workload_services[who]} | {who |
	some who in iam.principals(statement, "Federated")
	contains(who, ":oidc-provider/")
}

workload_services := {
	"batch.amazonaws.com",
	"ec2.amazonaws.com",
	"ecs-tasks.amazonaws.com",
	"eks.amazonaws.com",
	"lambda.amazonaws.com",
	"pods.eks.amazonaws.com",
}
