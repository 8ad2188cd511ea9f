# METADATA
# scope: package
# title: No policy allows everything, or a way to it
# description: |
#   Judged are the customer-managed policies, the policies of AWS that are attached, and the inline policies of users, groups
#   and roles; what is attached to an identity is judged as the policy that it is. None allows every action on every resource,
#   however that is spelled (`*`, `*:*`, `iam:*` on the account, Allow with NotAction or with NotResource), and none allows a
#   known way to more rights on all users, groups, roles or policies: changing policies (iam:CreatePolicyVersion,
#   SetDefaultPolicyVersion, Attach*Policy, Put*Policy), becoming somebody (CreateAccessKey, CreateLoginProfile,
#   UpdateLoginProfile, AddUserToGroup, UpdateAssumeRolePolicy, sts:AssumeRole), giving any role to something of one's own
#   (iam:PassRole together with what starts an instance, a function, a task, a build, a stack, …), or changing the code of any
#   function. Nor does one let whoever holds it give itself more: Attach*Policy or Put*Policy on `user/${aws:username}`, or
#   inline on the identity's own ARN.
#   Of such a way, a condition counts where it narrows what is reached: tags of the resource, iam:PermissionsBoundary and
#   iam:PolicyARN (but not policies of administrators) and, for iam:PassRole, iam:PassedToService and iam:AssociatedResourceArn. One that narrows who,
#   whence or when (MFA, addresses, tags of the principal) does not. A Deny counts if it has no condition, stands in the same
#   policy (of an identity: in any of its inline ones), and covers all that was allowed.
#   Not seen: ways that several policies of one identity open only together, permissions boundaries, service control and
#   session policies, and what the trust policy of a role refuses.
# related_resources:
#   - ref: https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html
#     description: AWS, security best practices in IAM (least privilege)
#   - ref: https://rhinosecuritylabs.com/aws/aws-privilege-escalation-methods-mitigation/
#     description: Rhino Security Labs, methods of privilege escalation in AWS
# custom:
#   id: iam.wildcard
#   scope: resource
#   severity: high
#   remediation: |
#     Name the actions and resources that are used; what they are shows
#     `aws iam generate-service-last-accessed-details --arn ARN --granularity ACTION_LEVEL`, or
#     `aws accessanalyzer start-policy-generation`. A role to pass is named, with the service that gets it:
#     `{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::ACCOUNT:role/app-worker",
#     "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}}`. People manage their own keys on
#     `arn:aws:iam::ACCOUNT:user/${aws:username}`. Take AWS's own off by
#     `aws iam detach-role-policy --role-name NAME --policy-arn arn:aws:iam::aws:policy/AdministratorAccess`.
#     What must have it (one role for emergencies) goes, by review and its ARN, into guardian.yaml:
#     `controls: {iam.wildcard: {params: {allowed: ["arn:aws:iam::aws:policy/AdministratorAccess"]}}}`.
#   inputs: [aws.iam.Group, aws.iam.Policy, aws.iam.Role, aws.iam.User]
#   frameworks:
#     nist-800-53r5: [AC-6]
#     iso-27001-2022: [A.8.2]
#     soc2: [CC6.3]
#     pci-dss-v4: ["7.2"]
#   stages: [audit]
#   uses: []
package guardian.iam.wildcard

import future.keywords.not

import data.guardian.lib.iam
import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.proved if {
	known
	allowed
} else := outcome.skip(input.resource.id, "linked to a service: only that service can use it, and only AWS can change it") if {
	linked
} else := outcome.fail(input.resource.id, message, {"allowed": accepted}, {"problems": outcome.first(found)}) if {
	count(problems) > 0
	found := sort(problems)
	message := sprintf("%s: %s%s", [
		called,
		concat("; ", outcome.first(found)),
		outcome.rest(count(found)),
	])
} else := outcome.skip(input.resource.id, "has no inline policy; what is attached is judged as the policy that it is") if {
	known
	of_identity
	count(documents) == 0
} else := outcome.proved if {
	known
	count(documents) > 0
	count(problems) == 0
} else := outcome.unknown(input.resource.id)

is_policy if input.resource.kind == "aws.iam.Policy"

of_identity if input.resource.kind in {"aws.iam.User", "aws.iam.Group", "aws.iam.Role"}

called := sprintf("%s %v", [kinds[input.resource.kind], input.resource.attributes.name]) if {
	is_string(input.resource.attributes.name)
} else := kinds[input.resource.kind]

kinds := {
	"aws.iam.Group": "group",
	"aws.iam.Policy": "policy",
	"aws.iam.Role": "role",
	"aws.iam.User": "user",
}

# A name means a policy or an identity of any account, an ARN that one.
allowed if input.params.allowed[_] == input.resource.attributes.arn

allowed if input.params.allowed[_] == input.resource.attributes.name

accepted := sort(input.params.allowed) if {
	is_array(input.params.allowed)
} else := []

linked if {
	input.resource.kind == "aws.iam.Role"
	input.resource.attributes.serviceLinked == true
}

linked if {
	is_policy
	regex.match(`^arn:[a-z-]+:iam::aws:policy/aws-service-role/`, input.resource.attributes.arn)
}

# The documents to judge, each with the name that a message gives it: "" where the resource is the policy.
documents := [["", input.resource.attributes.document]] if {
	is_policy
} else := [[concat("", ["inline policy ", inline.name, ", "]), inline.document] |
	of_identity
	some inline in input.resource.attributes.policies.inline
]

known if {
	is_string(input.resource.attributes.arn)
	is_string(input.resource.attributes.name)
	is_array(input.params.allowed)
	is_policy
	iam.well_formed(input.resource.attributes.document)
	is_string(account)
}

known if {
	is_string(input.resource.attributes.arn)
	is_string(input.resource.attributes.name)
	is_array(input.params.allowed)
	of_identity
	is_array(input.resource.attributes.policies.inline)
	every inline in input.resource.attributes.policies.inline {
		is_string(inline.name)
		iam.well_formed(inline.document)
	}
	is_string(account)
}

account := input.resource.scope.account if regex.match("^[0-9]{12}$", input.resource.scope.account)

partition := split(input.resource.attributes.arn, ":")[1]

default account_or_any := "000000000000"

account_or_any := account

# A name that nobody gives: a pattern that matches it matches all, as far as people are concerned.
unnamed := "@=+qxjzv-qxjzv+=@"

# ARNs of no resource in particular, by what an action is about.
anything := {type: concat("", ["arn:", partition, form[0], account_or_any, form[1], unnamed]) |
	some type, form in {
		"policy": [":iam::", ":policy/"],
		"role": [":iam::", ":role/"],
		"user": [":iam::", ":user/"],
		"group": [":iam::", ":group/"],
		"function": [":lambda:qx-qxjzv-9:", ":function:"],
		"any": [":qxjzv:qx-qxjzv-9:", ":qxjzv/"],
	}
}

# of_all(statement, type): its resources are those of this type altogether.
of_all(statement, type) if {
	some pattern in statement.resources
	iam.matches(in_account(pattern), anything[type])
}

of_all(statement, type) if {
	patterns := statement.notResources
	is_array(patterns)
	not excepted(patterns, type)
}

excepted(patterns, type) if {
	some pattern in patterns
	covers(pattern, type)
}

# covers(pattern, type): it surely matches every resource of this type.
covers(pattern, type) if iam.covers(pattern, {"prefix": trim_suffix(anything[type], unnamed)})

covers(pattern, "any") if regex.match(`^\*+$`, pattern)

# The variables that are the account, and no narrower than it. What patterns are compared with here is all in small letters.
in_account(pattern) := pattern if {
	not contains(pattern, "${")
} else := replace(replace(lower(pattern), "${aws:principalaccount}", "*"), "${aws:resourceaccount}", "*")

# Everything, or all of IAM.

problems contains text if {
	some [where, document] in documents
	some i, statement in document.statements
	statement.effect == "Allow"
	what := everything(statement)
	text := sprintf("%sstatement %d%s allows %s", [where, i, sid(statement), what])
}

sid(statement) := sprintf(" (%v)", [outcome.short(statement.sid)]) if {
	is_string(statement.sid)
} else := ""

everything(statement) := concat(" ", ["every action", where]) if {
	where := reach(statement, "any")
	some action in statement.actions
	iam.matches(lower(action), "qxjzv:qxjzv")
} else := concat(" ", ["every action but those it excepts (NotAction)", where]) if {
	where := reach(statement, "any")
	is_array(statement.notActions)
} else := concat(" ", ["every action of IAM", where]) if {
	where := reach(statement, "role")
	some action in statement.actions
	iam.matches(lower(action), "iam:qxjzv")
}

reach(statement, type) := "on every resource" if {
	is_array(statement.resources)
	of_all(statement, type)
} else := "on every resource but those it excepts (NotResource)" if {
	of_all(statement, type)
}

# Ways to more. Only where not everything is allowed anyway.

problems contains text if {
	count(total) == 0
	some action, type in single
	ways[type][action]
	text := sprintf("%sallows %s on every %s, a way to more rights", [said(sources[action]), action, type])
}

problems contains text if {
	count(total) == 0
	some action, places in own
	not ways[single[action]][action]
	text := sprintf("%sallows %s on whoever holds it, a way to more rights", [said(places), action])
}

problems contains text if {
	count(total) == 0
	some combination in combinations
	service := combination[0]
	some i in passing[service]
	every action in combination[1] { helping[action] }
	text := sprintf("%sallows iam:passrole of every role, with %s a way to the rights of any role", [
		said({i}),
		concat(" and ", combination[1]),
	])
}

total contains where if {
	some [where, document] in documents
	some statement in document.statements
	statement.effect == "Allow"
	everything(statement)
}

said(places) := concat("", [concat(" and ", sort(places)), " "])

# What one is allowed on all of a type is enough.
single := {
	"iam:createpolicyversion": "policy",
	"iam:setdefaultpolicyversion": "policy",
	"iam:createaccesskey": "user",
	"iam:createloginprofile": "user",
	"iam:updateloginprofile": "user",
	"iam:attachuserpolicy": "user",
	"iam:putuserpolicy": "user",
	"iam:attachgrouppolicy": "group",
	"iam:putgrouppolicy": "group",
	"iam:addusertogroup": "group",
	"iam:attachrolepolicy": "role",
	"iam:putrolepolicy": "role",
	"iam:updateassumerolepolicy": "role",
	"sts:assumerole": "role",
	"lambda:updatefunctioncode": "function",
}

# With iam:PassRole of any role: the service that gets it, and what makes it run what one wants.
combinations := [
	["ec2.amazonaws.com", ["ec2:runinstances"]],
	["ec2.amazonaws.com", ["ec2:associateiaminstanceprofile"]],
	["ec2.amazonaws.com", ["autoscaling:createlaunchconfiguration", "autoscaling:createautoscalinggroup"]],
	["lambda.amazonaws.com", ["lambda:createfunction", "lambda:invokefunction"]],
	["lambda.amazonaws.com", ["lambda:createfunction", "lambda:createeventsourcemapping"]],
	["lambda.amazonaws.com", ["lambda:createfunction", "lambda:addpermission"]],
	["glue.amazonaws.com", ["glue:createdevendpoint"]],
	["glue.amazonaws.com", ["glue:createjob", "glue:startjobrun"]],
	["glue.amazonaws.com", ["glue:createjob", "glue:createtrigger"]],
	["glue.amazonaws.com", ["glue:updatejob", "glue:startjobrun"]],
	["cloudformation.amazonaws.com", ["cloudformation:createstack"]],
	["cloudformation.amazonaws.com", ["cloudformation:updatestack"]],
	["cloudformation.amazonaws.com", ["cloudformation:createchangeset", "cloudformation:executechangeset"]],
	["datapipeline.amazonaws.com", ["datapipeline:createpipeline", "datapipeline:putpipelinedefinition"]],
	["sagemaker.amazonaws.com", ["sagemaker:createnotebookinstance"]],
	["sagemaker.amazonaws.com", ["sagemaker:createtrainingjob"]],
	["sagemaker.amazonaws.com", ["sagemaker:createprocessingjob"]],
	["codebuild.amazonaws.com", ["codebuild:createproject", "codebuild:startbuild"]],
	["codebuild.amazonaws.com", ["codebuild:createproject", "codebuild:startbuildbatch"]],
	["codebuild.amazonaws.com", ["codebuild:updateproject", "codebuild:startbuild"]],
	["ecs-tasks.amazonaws.com", ["ecs:registertaskdefinition", "ecs:runtask"]],
	["ecs-tasks.amazonaws.com", ["ecs:registertaskdefinition", "ecs:starttask"]],
	["ecs-tasks.amazonaws.com", ["ecs:registertaskdefinition", "ecs:createservice"]],
	["ecs-tasks.amazonaws.com", ["ecs:registertaskdefinition", "ecs:updateservice"]],
	["batch.amazonaws.com", ["batch:createcomputeenvironment", "batch:submitjob"]],
	["ecs-tasks.amazonaws.com", ["batch:registerjobdefinition", "batch:submitjob"]],
	["elasticmapreduce.amazonaws.com", ["elasticmapreduce:runjobflow"]],
	["ssm.amazonaws.com", ["ssm:startautomationexecution"]],
	["states.amazonaws.com", ["states:createstatemachine", "states:startexecution"]],
	["pods.eks.amazonaws.com", ["eks:createpodidentityassociation"]],
]

wanted[service] contains action if {
	some action, _ in single
	service := split(action, ":")[0]
}

wanted.iam contains "iam:passrole"

helpers[service] contains action if {
	some combination in combinations
	some action in combination[1]
	service := split(action, ":")[0]
}

# By type of resource, the actions that are allowed on all of them and not denied; where: the statements that do.
ways[type][action] if {
	some action, _ in sources
	type := single[action]
	not denied(action, type)
}

sources[action] contains place if {
	some [where, document] in documents
	some i, statement in document.statements
	statement.effect == "Allow"
	some action in iam.actions(statement, wanted)
	action != "iam:passrole"
	of_all(statement, single[action])
	not narrowed(statement)
	place := sprintf("%sstatement %d%s", [where, i, sid(statement)])
}

# What gives more to whoever holds it, on nobody but them.
own[action] contains place if {
	some [where, document] in documents
	some i, statement in document.statements
	statement.effect == "Allow"
	some action in iam.actions(statement, {"iam": self_giving})
	some pattern in statement.resources
	means_holder(pattern, action)
	not narrowed(statement)
	not denied(action, single[action])
	not denied_to_holder(action)
	place := sprintf("%sstatement %d%s", [where, i, sid(statement)])
}

self_giving := {
	"iam:attachgrouppolicy",
	"iam:attachrolepolicy",
	"iam:attachuserpolicy",
	"iam:putgrouppolicy",
	"iam:putrolepolicy",
	"iam:putuserpolicy",
}

# The user that asks, by the variable that is its name; or the identity whose inline policy this is.
means_holder(pattern, action) if {
	single[action] == "user"
	regex.match(`(?i)\$\{aws:username\s*[,}]`, pattern)
	iam.matches(iam.loose(pattern), anything.user)
}

means_holder(pattern, action) if {
	kinds[input.resource.kind] == single[action]
	iam.matches(pattern, input.resource.attributes.arn)
}

denied_to_holder(action) if {
	of_identity
	some [_, document] in documents
	some statement in document.statements
	statement.effect == "Deny"
	iam.unconditional(statement)
	iam.actions(statement, {"iam": {action}})[action]
	iam.concerns_all(statement, {"text": input.resource.attributes.arn})
}

denied(action, type) if {
	some [_, document] in documents
	some statement in document.statements
	statement.effect == "Deny"
	iam.unconditional(statement)
	iam.actions(statement, {split(action, ":")[0]: {action}})[action]
	denies_all(statement, type)
}

denies_all(statement, type) if {
	some pattern in statement.resources
	covers(pattern, type)
}

denies_all(statement, type) if {
	patterns := statement.notResources
	is_array(patterns)
	every pattern in patterns { iam.overlaps(pattern, {"prefix": trim_suffix(anything[type], unnamed)}) == false }
}

# By service, the statements that let any role be passed to it.
passing[service] contains place if {
	some [where, document] in documents
	some i, statement in document.statements
	statement.effect == "Allow"
	count(iam.actions(statement, {"iam": {"iam:passrole"}})) > 0
	of_all(statement, "role")
	not narrowed(statement)
	some service in services
	passes_to(statement, service)
	not denied("iam:passrole", "role")
	place := sprintf("%sstatement %d%s", [where, i, sid(statement)])
}

services := {combination[0] | some combination in combinations}

# A condition on the service lets no other service through.
passes_to(statement, service) if {
	every demand in [demand | some demand in iam.demands(statement); demand[0] == "iam:passedtoservice"] {
		names(demand, service)
	}
}

names([_, "exact", values], service) if service in values

names([_, "pattern", values], service) if {
	some value in values
	iam.matches(iam.loose(value), service)
}

helping contains action if {
	some [_, document] in documents
	some statement in document.statements
	statement.effect == "Allow"
	some action in iam.actions(statement, helpers)
	not denied(action, "any")
}

# narrowed(statement): a condition of it names which resources, boundaries or policies, and not all of them.
narrowed(statement) if {
	some [key, how, values] in iam.demands(statement)
	narrows(key)
	count(values) > 0
	every value in values { narrow(key, how, value) }
}

narrows(key) if key in {"iam:permissionsboundary", "iam:policyarn", "iam:associatedresourcearn"}

narrows(key) if regex.match(`^(aws|iam):resourcetag/`, key)

narrow(key, "exact", value) if {
	is_string(value)
	not administers(key, value)
}

narrow(key, "pattern", value) if {
	regex.match(`[0-9A-Za-z]`, trim_suffix(value, "*"))
	not regex.match(`[:/]\*+$`, value)
	not administers(key, value)
}

administers(key, value) if {
	key in {"iam:policyarn", "iam:permissionsboundary"}
	some name in ["AdministratorAccess", "IAMFullAccess", "PowerUserAccess"]
	iam.matches(iam.loose(value), concat("", ["arn:", partition, ":iam::aws:policy/", name]))
}
