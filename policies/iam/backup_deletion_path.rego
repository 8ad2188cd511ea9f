# METADATA
# scope: package
# title: Nobody who need not can delete backups, or shorten how long they are kept
# description: |
#   Of every bucket that guardian.yaml names under `backupBuckets`, no user and no role of its account may delete objects,
#   versions or the bucket, shorten or bypass retention, change Object Lock, the lifecycle, versioning, the bucket's policy or
#   its access control list, unless its ARN is on `allowed`: by its own policies and those of its groups, or by the bucket's
#   policy. Roles that a workload can assume (EC2, ECS, Lambda, EKS, OIDC) and the identity that Guardian acts as are named as
#   such. Where the bucket has a default retention in mode COMPLIANCE and versioning, what S3 refuses to everybody (deleting
#   versions, shortening retention, suspending versioning) is not counted.
#   An Allow counts whatever its condition. A Deny counts without a condition, or with one alone that excepts
#   `aws:PrincipalArn` by name, if it covers the whole bucket; in the identity's policies, its permissions boundary, or the
#   bucket's policy. What a boundary does not allow, an identity's policies do not allow; a boundary that was not read is none.
#   Whoever else the bucket's policy lets do this is a finding too: everybody, another account, a service, a federated user.
#   Not seen: the root user, service control, resource control and session policies, access points, access control lists that
#   grant to others, what a principal of another account may do by its own policies, rights that an identity could first give
#   itself (iam.wildcard), deleting the KMS key, and overwriting where versioning is off (backup.immutable).
# related_resources:
#   - ref: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
#     description: AWS, how policies are evaluated
#   - ref: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
#     description: Amazon S3, what Object Lock refuses, and to whom
#   - ref: https://csrc.nist.gov/pubs/sp/800/53/r5/upd1/final
#     description: NIST SP 800-53 revision 5, AC-5 separation of duties, CP-9 system backup
# custom:
#   id: iam.backup-deletion-path
#   scope: snapshot
#   severity: critical
#   remediation: |
#     What writes backups gets s3:PutObject and nothing that deletes; what reads them (Guardian too) gets s3:GetObject and
#     s3:ListBucket. Then let the bucket refuse everybody but one role that no program uses, and put that role on `allowed`:
#     `aws s3api put-bucket-policy --bucket NAME --policy '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny",
#     "Principal": "*", "Action": ["s3:Delete*", "s3:Put*Configuration", "s3:PutBucket*", "s3:PutObjectRetention",
#     "s3:PutObjectLegalHold", "s3:BypassGovernanceRetention"], "Resource": ["arn:aws:s3:::NAME", "arn:aws:s3:::NAME/*"],
#     "Condition": {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::ACCOUNT:role/backup-admin"}}}]}'`
#     with `controls: {iam.backup-deletion-path: {params: {allowed: ["arn:aws:iam::ACCOUNT:role/backup-admin"]}}}`.
#     Better still, keep backups in an account where no workload runs, locked in mode COMPLIANCE (backup.immutable).
#   inputs: [aws.iam.Account, aws.iam.Group, aws.iam.Policy, aws.iam.Role, aws.iam.User, aws.s3.Bucket]
#   judges: [aws.s3.Bucket]
#   frameworks:
#     nist-800-53r5: [AC-5, CP-9]
#     iso-27001-2022: [A.8.13]
#     dora: ["12"]
#   stages: [audit]
#   uses: [incomplete]
package guardian.iam.backup_deletion_path

import future.keywords.not

import data.guardian.lib.backup_deletion as deletion
import data.guardian.lib.iam
import data.guardian.lib.outcome
import data.guardian.lib.principal

buckets := input.resources["aws.s3.Bucket"]

default accounts := []

accounts := input.resources["aws.iam.Account"]

default groups := []

groups := input.resources["aws.iam.Group"]

default policies := []

policies := input.resources["aws.iam.Policy"]

default roles := []

roles := input.resources["aws.iam.Role"]

default users := []

users := input.resources["aws.iam.User"]

identities := array.concat(users, roles)

judged contains bucket.id if some bucket in buckets

findings contains finding if {
	some bucket in buckets
	finding := verdict(bucket)
	finding.verdict != "pass"
}

# A finding names so many identities.
most := 20

verdict(bucket) := outcome.skip(bucket.id, "is no bucket of backups: none that `backupBuckets` names") if {
	bucket.attributes.backup == false
} else := outcome.error(bucket.id, message) if {
	backup_buckets[bucket.id]
	not well_policed(bucket.attributes.policy)
	message := sprintf("could not be judged: the policy of bucket %v was not read", [bucket.attributes.name])
} else := outcome.fail(bucket.id, message, {"allowed": accepted(bucket)}, observed) if {
	backup_buckets[bucket.id]
	count(paths[bucket.id]) > 0
	found := sort(paths[bucket.id])
	message := sprintf("backups in bucket %v may be deleted, or kept for less time, by %s%s", [
		bucket.attributes.name,
		concat("; ", [told(path) | some path in array.slice(found, 0, most)]),
		and_more(count(found) - most),
	])
	observed := {
		"count": count(found),
		"identities": [{"identity": outcome.short(path[1]), "actions": actions_shown(path[2])} | some path in array.slice(found, 0, most)],
	}
} else := outcome.error(bucket.id, message) if {
	backup_buckets[bucket.id]
	count(unread) > 0
	message := sprintf("nobody was found who may delete backups in bucket %v, but these could not all be read: %s%s", [
		bucket.attributes.name,
		concat(", ", array.slice(sort(unread), 0, most)),
		and_more(count(unread) - most),
	])
} else := outcome.error(bucket.id, message) if {
	backup_buckets[bucket.id]
	unknown := strangers(account_of(bucket))
	count(unknown) > 0
	message := sprintf("nobody was found who may delete backups in bucket %v, but Guardian acts as %s, of whom nothing was read", [
		bucket.attributes.name,
		concat(", ", sort(unknown)),
	])
} else := outcome.proved if {
	backup_buckets[bucket.id]
	known(bucket)
	count(object.get(paths, bucket.id, set())) == 0
	count(unread) == 0
	count(strangers(account_of(bucket))) == 0
} else := outcome.unknown(bucket.id)

told([_, who, actions]) := sprintf("%v%s (%s%s)", [
	outcome.short(who),
	note(who),
	concat(", ", array.slice(actions_shown(actions), 0, 3)),
	and_more(count(actions) - 3),
])

and_more(number) := sprintf("; and %d more", [number]) if {
	number > 0
} else := ""

accepted(bucket) := sort(input.params[bucket.id].allowed) if {
	is_array(input.params[bucket.id].allowed)
} else := []

account_of(resource) := resource.scope.account

backup_buckets[bucket.id] := bucket if {
	some bucket in buckets
	bucket.attributes.backup == true
}

known(bucket) if {
	is_string(bucket.attributes.name)
	regex.match("^[0-9]{12}$", account_of(bucket))
	is_array(input.incomplete)
	is_array(input.params[bucket.id].allowed)
	is_boolean(compliant[bucket.id])
}

well_policed(null)

well_policed(document) if iam.well_granting(document)

# What could not be read, or has an unexpected form: somebody could have rights by it.

unread contains kind if some kind in input.incomplete

unread contains "aws.iam.Account" if not is_array(input.resources["aws.iam.Account"])

unread contains "aws.iam.Group" if not is_array(input.resources["aws.iam.Group"])

unread contains "aws.iam.Policy" if not is_array(input.resources["aws.iam.Policy"])

unread contains "aws.iam.Role" if not is_array(input.resources["aws.iam.Role"])

unread contains "aws.iam.User" if not is_array(input.resources["aws.iam.User"])

unread contains resource.id if {
	some resource in array.concat(identities, groups)
	not well_attached(resource)
}

unread contains user.id if {
	some user in users
	not well_grouped(user)
}

unread contains role.id if {
	some role in roles
	not iam.well_trusting(role.attributes.trust)
}

unread contains policy.id if {
	some policy in policies
	not iam.well_formed(policy.attributes.document)
}

unread contains attached.arn if {
	some resource in array.concat(identities, groups)
	some attached in resource.attributes.policies.attached
	not policies_read[attached.arn]
}

well_attached(resource) if {
	is_string(resource.attributes.arn)
	is_string(resource.attributes.name)
	is_string(account_of(resource))
	some_text_or_null(object.get(resource.attributes, "boundary", null))
	is_array(resource.attributes.policies.attached)
	every attached in resource.attributes.policies.attached { is_string(attached.arn) }
	is_array(resource.attributes.policies.inline)
	every inline in resource.attributes.policies.inline { iam.well_formed(inline.document) }
}

some_text_or_null(null)

some_text_or_null(text) if is_string(text)

well_grouped(user) if {
	is_array(user.attributes.groups)
	every name in user.attributes.groups { is_array(keys_of_group[[account_of(user), name]]) }
}

policies_read contains policy.attributes.arn if some policy in policies

# The documents by key: the ARN of a policy, or the id of whose inline policy it is with its place there. Only statements
# about what is wanted: most documents have none.

relevant[key] := statements if {
	some [key, document] in array.concat(managed, inline)
	statements := deletion.relevant(document)
	count(statements) > 0
}

managed := [[policy.attributes.arn, policy.attributes.document] | some policy in policies]

inline := [[inline_key(resource, i), entry.document] |
	some resource in array.concat(identities, groups)
	some i, entry in resource.attributes.policies.inline
]

inline_key(resource, i) := concat("#", [resource.id, format_int(i, 10)])

compliant[id] := deletion.locked(bucket.attributes) if some id, bucket in backup_buckets

counted[id] := {action | some action, _ in deletion.shown} - deletion.refused_by_lock if {
	some id, _ in backup_buckets
	compliant[id] == true
}

counted[id] := {action | some action, _ in deletion.shown} if {
	some id, _ in backup_buckets
	not compliant[id] == true
}

# By bucket: the ARN that each of the two sorts of actions is about.
targets[id] := [
	{"text": arn},
	{"prefix": concat("", [arn, "/"])},
] if {
	some id, bucket in backup_buckets
	arn := concat("", [split(id, ":::")[0], ":::", bucket.attributes.name])
}

# The actions of a statement that concern some, or all, of a bucket.
some_of(statement, actions, id) := {action |
	some action in actions
	counted[id][action]
	iam.may_concern(statement, target(action, id))
}

all_of(statement, actions, id) := {action |
	some action in actions
	counted[id][action]
	iam.concerns_all(statement, target(action, id))
}

target(action, id) := targets[id][1] if {
	deletion.of_objects[action]
} else := targets[id][0]

# By bucket and key of a document, the actions that it allows there.
granted[id][key] := actions if {
	some id, _ in backup_buckets
	some key, statements in relevant
	actions := union({found |
		some [statement, relevant_actions] in statements
		statement.effect == "Allow"
		found := some_of(statement, relevant_actions, id)
	})
	count(actions) > 0
}

# And those that it denies, each with whom it excepts: patterns of ARNs.
refused[id][key] := refusals if {
	some id, _ in backup_buckets
	some key, statements in relevant
	refusals := {[actions, principal.excepted(statement)] |
		some [statement, relevant_actions] in statements
		statement.effect == "Deny"
		principal.excepted(statement)
		actions := all_of(statement, relevant_actions, id)
		count(actions) > 0
	}
	count(refusals) > 0
}

# Who has which documents.

keys_of_group[key] := keys if {
	some group in groups
	key := [account_of(group), group.attributes.name]
	keys := own_keys(group)
}

own_keys(resource) := array.concat(
	[attached.arn | some attached in resource.attributes.policies.attached],
	[inline_key(resource, i) | some i, _ in resource.attributes.policies.inline],
)

keys_of[identity.id] := {key | some key in own_keys(identity); relevant[key]} | {key |
	some name in identity.attributes.groups
	of_group := [account_of(identity), name]
	some key in keys_of_group[of_group]
	relevant[key]
} if {
	some identity in identities
}

identities_in[account] contains identity.id if {
	some identity in identities
	account := account_of(identity)
}

by_id[identity.id] := identity if some identity in identities

# What the policy of a bucket says, about whom.

own_statements[id] := deletion.relevant(bucket.attributes.policy) if {
	some id, bucket in backup_buckets
	bucket.attributes.policy != null
}

grants[id] contains [statement, actions] if {
	some id, statements in own_statements
	some [statement, relevant_actions] in statements
	statement.effect == "Allow"
	actions := some_of(statement, relevant_actions, id)
	count(actions) > 0
}

denials[id] contains [statement, actions, principal.excepted(statement)] if {
	some id, statements in own_statements
	some [statement, relevant_actions] in statements
	statement.effect == "Deny"
	actions := all_of(statement, relevant_actions, id)
	count(actions) > 0
}

# The paths: by bucket [how bad, who, what it may].

paths[id] contains [standing[identity_id], arn, actions] if {
	some id, bucket in backup_buckets
	some identity_id in identities_in[account_of(bucket)]
	arn := by_id[identity_id].attributes.arn
	possible := by_policies(id, holdings[identity_id]) | by_bucket(id, arn)
	count(possible) > 0
	actions := (possible - denied_by_policies(id, holdings[identity_id], arn)) - denied_by_bucket(id, arn)
	count(actions) > 0
	not accepted_in(id, arn)
}

paths[id] contains [0, who, actions] if {
	some id, found in grants
	some [statement, possible] in found
	some who in outsiders(id, statement)
	actions := possible - denied_to(id, who)
	count(actions) > 0
	not accepted_in(id, who)
}

paths[id] contains [1, caller, counted[id]] if {
	some id, bucket in backup_buckets
	some caller in callers(account_of(bucket))
	endswith(caller, ":root")
	not accepted_in(id, caller)
}

accepted_in(id, who) if input.params[id].allowed[_] == who

actions_shown(actions) := sort({deletion.shown[action] | some action in actions})

# Few identities have documents of their own about backups: what those of one lot of documents may is found once.

holdings[identity.id] := [keys_of[identity.id], boundary_of(identity)] if some identity in identities

# A boundary that was not read is no limit.
boundary_of(identity) := identity.attributes.boundary if {
	policies_read[identity.attributes.boundary]
} else := ""

lots contains holding if some holding in holdings

net[id][holding] := actions if {
	some id, _ in backup_buckets
	some holding in lots
	all := union({granted[id][key] | some key in holding[0]})
	actions := within_boundary(id, all, holding[1])
	count(actions) > 0
}

within_boundary(_, actions, "") := actions

within_boundary(id, actions, boundary) := actions & object.get(granted, [id, boundary], set()) if boundary != ""

by_policies(id, holding) := actions if {
	actions := net[id][holding]
} else := set()

denied_by_policies(id, holding, arn) := {action |
	some [actions, exceptions] in refusals_of[id][holding]
	principal.holds_for(exceptions, arn)
	some action in actions
}

refusals_of[id][holding] contains refusal if {
	some id, _ in backup_buckets
	some holding in lots
	some key in (holding[0] | {holding[1]})
	some refusal in refused[id][key]
}

by_bucket(id, arn) := {action |
	some [statement, actions] in grants[id]
	principal.about(statement, arn)
	some action in actions
}

denied_by_bucket(id, arn) := {action |
	some [statement, actions, exceptions] in denials[id]
	principal.denies(statement, arn)
	principal.holds_for(exceptions, arn)
	some action in actions
}

# Who else a statement of the bucket's policy names than identities that were read.
outsiders(id, statement) := {"*"} if {
	iam.anyone(statement)
} else := {who |
	some kind, names in statement.principals
	kind != "*"
	some who in names
	not of_no_account(id, who)
}

of_no_account(id, who) if principal.account(who) == account_of(backup_buckets[id])

of_no_account(id, who) if {
	key := principal.identity_of(who)
	own_identities[account_of(backup_buckets[id])][key]
}

# What AWS writes for a user or role that was deleted.
of_no_account(_, who) if regex.match("^A[A-Z0-9]{15,31}$", who)

own_identities[account] contains key if {
	some account, ids in identities_in
	some id in ids
	key := principal.identity_of(by_id[id].attributes.arn)
}

# Of outsiders, a Deny to everybody holds if it excepts none but names in the account itself.
denied_to(id, who) := {action |
	some [statement, actions, exceptions] in denials[id]
	iam.anyone(statement)
	not is_object(statement.notPrincipals)
	every pattern in exceptions { inside(id, pattern, who) }
	some action in actions
}

inside(id, pattern, who) if {
	split(pattern, ":")[4] == account_of(backup_buckets[id])
	iam.matches(iam.loose(pattern), who) == false
}

# How bad it is, and what is to be said of it.

standing[identity.id] := rank(identity) if some identity in identities

rank(identity) := 1 if {
	own(identity)
} else := 2 if {
	count(assumed_by[identity.attributes.arn]) > 0
} else := 3

note("*") := ", everybody, by the policy of the bucket"

note(who) := ", the root user, as whom Guardian itself acts" if root_callers[who]

note(who) := concat("", [note_of_own(who), note_of_workload(who)]) if by_arn[who]

note(who) := ", by the policy of the bucket" if {
	not by_arn[who]
	who != "*"
	not root_callers[who]
}

root_callers contains caller if {
	some found in accounts
	caller := caller_of(found.attributes)
	endswith(caller, ":root")
}

by_arn[identity.attributes.arn] contains identity.id if some identity in identities

note_of_own(arn) := ", as which Guardian itself acts" if {
	some id in by_arn[arn]
	own(by_id[id])
} else := ""

note_of_workload(arn) := sprintf(", which a workload can assume by %s", [concat(", ", sort(who))]) if {
	who := assumed_by[arn]
} else := ""

assumed_by[role.attributes.arn] contains who if {
	some role in roles
	some statement in role.attributes.trust.statements
	statement.effect == "Allow"
	some who in principal.workloads(statement)
}

# Guardian's own identity in an account: its role where it acts by one.
callers(account) := {caller |
	some found in accounts
	account_of(found) == account
	caller := caller_of(found.attributes)
}

caller_of(account) := account.callerRoleArn if {
	is_string(account.callerRoleArn)
} else := account.caller

own(identity) if {
	key := principal.identity_of(identity.attributes.arn)
	own_keys_of[account_of(identity)][key]
}

own_keys_of[account] contains principal.identity_of(caller) if {
	some found in accounts
	account := account_of(found)
	some caller in callers(account)
}

# Callers that are none of the identities read; one that nothing is known of where no account says.
strangers(account) := {caller |
	some caller in callers(account)
	not known_caller(account, caller)
} if {
	count(callers(account)) > 0
} else := {"somebody unknown"}

known_caller(account, caller) if {
	key := principal.identity_of(caller)
	own_identities[account][key]
}

known_caller(_, caller) if endswith(caller, ":root")
