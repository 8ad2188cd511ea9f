# METADATA
# scope: package
# title: Who signs in to the console has a second factor
# description: |
#   Every user with a console password has at least one MFA device, whatever its kind. A user without a password cannot sign
#   in to the console and is passed over; its access keys are the matter of iam.key-age. People who come through an identity
#   provider are none of the account's users, and their second factor is the provider's.
# related_resources:
#   - ref: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa.html
#     description: AWS, multi-factor authentication in IAM
# custom:
#   id: iam.mfa
#   scope: resource
#   severity: high
#   remediation: |
#     Let the person register a device under "Security credentials", a passkey or security key rather than an app. Who does
#     not need the console loses the password: `aws iam delete-login-profile --user-name NAME`. Better still, people come
#     through the identity provider (IAM Identity Center) and the user goes.
#   inputs: [aws.iam.User]
#   frameworks:
#     nist-800-53r5: [IA-2(2)]
#     iso-27001-2022: [A.8.5]
#     soc2: [CC6.1]
#     pci-dss-v4: ["8.4"]
#   stages: [audit]
#   uses: []
package guardian.iam.mfa

import future.keywords.not

import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

user := input.resource.attributes

verdict := outcome.fail(input.resource.id, message, {"mfaDevices": 1}, {"passwordEnabled": true, "mfaDevices": 0}) if {
	user.passwordEnabled == true
	user.mfaDevices == []
	message := sprintf(
		"user %v has a console password and no MFA device: register one, or delete the password",
		[user.name],
	)
} else := outcome.skip(input.resource.id, "has no console password") if {
	user.passwordEnabled == false
} else := outcome.error(input.resource.id, message) if {
	is_string(user.name)
	not is_boolean(user.passwordEnabled)
	message := sprintf("could not be judged: it was not read whether user %v has a console password", [user.name])
} else := outcome.proved if {
	user.passwordEnabled == true
	is_array(user.mfaDevices)
	count(user.mfaDevices) > 0
	every device in user.mfaDevices { is_string(device.serial) }
} else := outcome.unknown(input.resource.id)
