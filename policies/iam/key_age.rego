# METADATA
# scope: package
# title: Access keys are few, young and used
# description: |
#   No user has an active access key that is older than `maxAge`, none that was not used for longer than `maxUnused` (a key
#   that was never used counts from the day it was made), and none has two active keys: a second one is for the minutes of a
#   change of keys. Inactive keys open nothing, and are passed over.
# related_resources:
#   - ref: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html
#     description: AWS, managing access keys for IAM users
# custom:
#   id: iam.key-age
#   scope: resource
#   severity: medium
#   remediation: |
#     Let the program use a role instead of a key (of its instance, its task, or its service account by OIDC), and delete the
#     key. Where it must be a key, change it: `aws iam create-access-key --user-name NAME`, put it where the program reads
#     it, then `aws iam update-access-key --user-name NAME --access-key-id KEY --status Inactive`, and when nothing broke
#     `aws iam delete-access-key --user-name NAME --access-key-id KEY`. What uses a key shows
#     `aws iam get-access-key-last-used --access-key-id KEY`.
#   inputs: [aws.iam.User]
#   frameworks:
#     nist-800-53r5: [IA-5]
#     iso-27001-2022: [A.5.17]
#     soc2: [CC6.1]
#   stages: [audit]
#   uses: []
package guardian.iam.key_age

import future.keywords.not

import data.guardian.lib.duration
import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

user := input.resource.attributes

verdict := outcome.fail(input.resource.id, message, expected, {"active": observed}) if {
	count(problems) > 0
	message := sprintf("user %v: %s", [user.name, concat("; ", sort(problems))])
	expected := {
		"activeKeys": 1,
		"maxAgeSeconds": object.get(input.params, "maxAge", null),
		"maxUnusedSeconds": object.get(input.params, "maxUnused", null),
	}
	observed := sort([object.filter(key, {"id", "ageDays", "lastUsedDays"}) | some key in active])
} else := outcome.proved if {
	is_string(user.name)
	is_array(user.accessKeys)
	is_number(input.params.maxAge)
	is_number(input.params.maxUnused)
	count(problems) == 0
	every key in user.accessKeys { known(key) }
} else := outcome.unknown(input.resource.id)

active := [key | some key in user.accessKeys; key.status == "Active"]

known(key) if key.status == "Inactive"

known(key) if {
	key.status == "Active"
	is_string(key.id)
	is_number(key.ageDays)
	is_number(unused_days(key))
}

# A key that was never used has its age for that; undefined where nothing about its use was read.
unused_days(key) := key.ageDays if {
	key.lastUsedDays == null
} else := key.lastUsedDays

problems contains message if {
	count(active) > 1
	message := sprintf("%d access keys are active: delete all but one", [count(active)])
}

problems contains message if {
	some key in active
	is_number(key.ageDays)
	key.ageDays * 86400 > input.params.maxAge
	message := sprintf("access key %v is %v days old, the limit is %s: replace it", [
		object.get(key, "id", "without an id"),
		key.ageDays,
		duration.text(input.params.maxAge),
	])
}

problems contains message if {
	some key in active
	is_number(unused_days(key))
	unused_days(key) * 86400 > input.params.maxUnused
	message := sprintf("access key %v was %s: delete it", [object.get(key, "id", "without an id"), not_used(key)])
}

not_used(key) := sprintf("never used in %v days", [key.ageDays]) if {
	key.lastUsedDays == null
} else := sprintf("not used for %v days", [key.lastUsedDays])
