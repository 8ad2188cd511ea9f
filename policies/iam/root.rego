# METADATA
# scope: package
# title: The root user has a second factor, no access keys, and is not used
# description: |
#   Of every account: its root user has an MFA device, has no access key, and was last used longer ago than `usedWithin`.
#   What could not be read (the credential report, the account's summary) is an error and never a pass, and so is a last
#   use of which AWS tells nothing.
# related_resources:
#   - ref: https://docs.aws.amazon.com/IAM/latest/UserGuide/root-user-best-practices.html
#     description: AWS, root user best practices
# custom:
#   id: iam.root
#   scope: resource
#   severity: critical
#   remediation: |
#     Sign in as root once, with the sealed credentials. Under "Security credentials" assign an MFA device (better two, of
#     hardware, kept apart), and delete every access key. From then on work by a role:
#     `aws sts assume-role --role-arn arn:aws:iam::ACCOUNT:role/admin --role-session-name NAME`, and keep root for what only
#     root can do. In an organization, take the credentials of its member accounts away altogether:
#     `aws iam enable-organizations-root-credentials-management`. A use that was planned stays a finding until `usedWithin`
#     is over; who it was says `aws cloudtrail lookup-events --lookup-attributes AttributeKey=Username,AttributeValue=root`.
#   inputs: [aws.iam.Account]
#   frameworks:
#     nist-800-53r5: [AC-6(5), IA-2(1)]
#     iso-27001-2022: [A.8.2]
#     soc2: [CC6.1]
#   stages: [audit]
#   uses: []
package guardian.iam.root

import future.keywords.not

import data.guardian.lib.duration
import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.fail(input.resource.id, message, expected, observed) if {
	count(problems) > 0
	message := sprintf("root of account %v %s", [input.resource.attributes.account, concat("; it ", sort(problems))])
	expected := {"mfaActive": true, "accessKeys": 0, "unusedSeconds": object.get(input.params, "usedWithin", null)}
	observed := object.filter(input.resource.attributes.root, {"mfaActive", "accessKeys", "lastUsedDays"})
} else := outcome.error(input.resource.id, message) if {
	is_object(input.resource.attributes.root)
	count(unread) > 0
	message := sprintf("could not be judged: of root it was not read %s", [concat(", nor ", sort(unread))])
} else := outcome.proved if {
	count(problems) == 0
	count(unread) == 0
	root.mfaActive == true
	root.accessKeys == 0
	unused
} else := outcome.unknown(input.resource.id)

root := input.resource.attributes.root

# Null is what the collector says of a root that was never used; what was not read is absent.
unused if root.lastUsedDays == null

unused if root.lastUsedDays * 86400 > input.params.usedWithin

problems contains "has no MFA device: assign one" if root.mfaActive == false

problems contains message if {
	root.accessKeys > 0
	message := sprintf("has %v access keys: delete them", [root.accessKeys])
	is_number(root.accessKeys)
}

problems contains message if {
	is_number(root.lastUsedDays)
	root.lastUsedDays * 86400 <= input.params.usedWithin
	is_number(input.params.usedWithin)
	message := sprintf("was used %v days ago, the limit is %s: work by a role", [
		root.lastUsedDays,
		duration.text(input.params.usedWithin),
	])
}

unread contains "whether it has an MFA device" if not is_boolean(root.mfaActive)

unread contains "how many access keys it has" if not is_number(root.accessKeys)

unread contains "when it was last used" if {
	not is_number(root.lastUsedDays)
	not root.lastUsedDays == null
}
