# METADATA
# scope: package
# title: What deletes backups in a bucket, or shortens how long they are kept
package guardian.lib.backup_deletion

import future.keywords.not

import data.guardian.lib.iam

# relevant(document): its statements about any of this, as [statement, actions]. Most documents have none.
relevant(document) := [[statement, actions] |
	some statement in document.statements
	actions := iam.actions(statement, wanted)
	count(actions) > 0
]

wanted := {"s3": {action | some action, _ in shown}}

# What deletes backups or shortens how long they are kept, as AWS writes it.
shown := object.union(of_objects, of_bucket)

of_objects := {
	"s3:bypassgovernanceretention": "s3:BypassGovernanceRetention",
	"s3:deleteobject": "s3:DeleteObject",
	"s3:deleteobjectversion": "s3:DeleteObjectVersion",
	"s3:putobjectlegalhold": "s3:PutObjectLegalHold",
	"s3:putobjectretention": "s3:PutObjectRetention",
}

of_bucket := {
	"s3:deletebucket": "s3:DeleteBucket",
	"s3:deletebucketpolicy": "s3:DeleteBucketPolicy",
	"s3:putbucketacl": "s3:PutBucketAcl",
	"s3:putbucketobjectlockconfiguration": "s3:PutBucketObjectLockConfiguration",
	"s3:putbucketpolicy": "s3:PutBucketPolicy",
	"s3:putbucketversioning": "s3:PutBucketVersioning",
	"s3:putlifecycleconfiguration": "s3:PutLifecycleConfiguration",
}

# What S3 refuses to everybody where versions are locked in mode COMPLIANCE.
refused_by_lock := {
	"s3:bypassgovernanceretention",
	"s3:deletebucket",
	"s3:deleteobject",
	"s3:deleteobjectversion",
	"s3:putbucketversioning",
	"s3:putobjectretention",
}

# locked(bucket): what it has is kept by a default retention that nobody may shorten; undefined where that was not read.
locked(bucket) if {
	bucket.versioning == "Enabled"
	bucket.objectLock.enabled == true
	bucket.objectLock.mode == "COMPLIANCE"
	bucket.objectLock.retentionDays > 0
	is_number(bucket.objectLock.retentionDays)
} else := false if {
	is_boolean(bucket.objectLock.enabled)
}
