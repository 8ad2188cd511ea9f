# METADATA
# scope: package
# title: No bucket is public
# description: |
#   No bucket's policy lets everybody in (AWS calls it public, or a statement allows `*`, or everybody but some, without a
#   condition that names who or whence), unless `restrictPublicBuckets` of the bucket's or the account's public access block
#   holds them off. No access control list grants a bucket to everybody or to everybody with an AWS account, unless
#   `ignorePublicAcls` does. A block that only keeps new policies and lists from being written undoes none that are there.
#   Not seen: access control lists of single objects, access points, and what a distribution (CloudFront) in front shows.
# related_resources:
#   - ref: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
#     description: Amazon S3, blocking public access, and what "public" means
# custom:
#   id: network.public-data
#   scope: resource
#   severity: critical
#   remediation: |
#     `aws s3api put-public-access-block --bucket NAME --public-access-block-configuration
#     BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true`, best for the whole
#     account: `aws s3control put-public-access-block --account-id ACCOUNT --public-access-block-configuration …`. Then take
#     the statement out of the policy (`aws s3api get-bucket-policy --bucket NAME`, `put-bucket-policy`) and reset the list
#     with `aws s3api put-bucket-acl --bucket NAME --acl private`. A website goes behind CloudFront with origin access
#     control; a bucket that must be public goes, by review, into guardian.yaml:
#     `controls: {network.public-data: {params: {allowed: [www-example-com]}}}`.
#   inputs: [aws.s3.Bucket]
#   frameworks:
#     nist-800-53r5: [AC-3, SC-7]
#     iso-27001-2022: [A.8.3]
#     soc2: [CC6.6]
#   stages: [audit]
#   uses: []
package guardian.network.public_data

import future.keywords.not

import data.guardian.lib.iam
import data.guardian.lib.outcome

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

bucket := input.resource.attributes

verdict := outcome.proved if {
	is_string(bucket.name)
	input.params.allowed[_] == bucket.name
} else := outcome.fail(input.resource.id, message, {"allowed": sort(input.params.allowed)}, observed) if {
	count(ways) > 0
	message := sprintf("bucket %v%s is public %s%s: block public access", [
		bucket.name,
		website,
		concat("; ", outcome.first(sort(ways))),
		outcome.rest(count(ways)),
	])
	observed := object.filter(bucket, {"publicAccessBlock", "accountPublicAccessBlock", "policyPublic", "website"})
} else := outcome.error(input.resource.id, message) if {
	is_string(bucket.name)
	count(unread) > 0
	message := sprintf("could not be judged: of bucket %v it was not read %s", [bucket.name, concat(", nor ", sort(unread))])
} else := outcome.proved if {
	is_string(bucket.name)
	is_array(input.params.allowed)
	count(ways) == 0
	count(unread) == 0
} else := outcome.unknown(input.resource.id)

website := " (a website)" if {
	bucket.website == true
} else := ""

# blocked(flag): the block of the bucket or of the account does it, whatever is known of the other.
blocked(flag) if bucket.publicAccessBlock[flag] == true

blocked(flag) if bucket.accountPublicAccessBlock[flag] == true

# block_read(flag): whether it does is known of both.
block_read(flag) if {
	well_blocked(bucket.publicAccessBlock, flag)
	well_blocked(bucket.accountPublicAccessBlock, flag)
}

well_blocked(null, _)

well_blocked(block, flag) if is_boolean(block[flag])

ways contains "by its policy, as AWS judges it" if {
	bucket.policyPublic == true
	not blocked("restrictPublicBuckets")
	block_read("restrictPublicBuckets")
}

ways contains text if {
	some i, statement in bucket.policy.statements
	statement.effect == "Allow"
	iam.anyone(statement)
	not narrowed(statement)
	not blocked("restrictPublicBuckets")
	block_read("restrictPublicBuckets")
	text := sprintf("by its policy, statement %d (%v)", [i, outcome.short(object.get(statement, "sid", null))])
}

ways contains text if {
	some grant in bucket.aclGrants
	some group, who in everybody
	endswith(grant.grantee, group)
	not blocked("ignorePublicAcls")
	block_read("ignorePublicAcls")
	text := sprintf("by its access control list, which gives %s %v", [who, outcome.short(grant.permission)])
}

everybody := {
	"/global/AllUsers": "everybody",
	"/global/AuthenticatedUsers": "everybody with an AWS account",
}

# A condition that names who or whence, as AWS takes it for not public.
narrowed(statement) if {
	some [key, how, values] in iam.demands(statement)
	names_somebody[key]
	count(values) > 0
	every value in values {
		definite(how, value)
		not anonymous(key, value)
	}
	not crowded(how, values)
}

# The id of who shows no credentials at all.
anonymous("aws:userid", value) if iam.matches(iam.loose(lower(value)), "anonymous")

# Blocks each narrow enough, and together as wide as a /6.
crowded("block", values) if {
	sum([bits.lsh(1, 32 - length(block)) | some block in values; not contains(block, ":")]) >= bits.lsh(1, 26)
}

length(block) := to_number(split(block, "/")[1]) if {
	contains(block, "/")
} else := 32

names_somebody := {
	"aws:principalaccount",
	"aws:principalarn",
	"aws:principalorgid",
	"aws:principalorgpaths",
	"aws:sourceaccount",
	"aws:sourcearn",
	"aws:sourceip",
	"aws:sourceowner",
	"aws:sourcevpc",
	"aws:sourcevpce",
	"aws:userid",
	"s3:dataaccesspointaccount",
	"s3:dataaccesspointarn",
}

definite("exact", value) if {
	is_string(value)
	not contains(value, "${")
}

# Of an ARN its account counts; of anything else all of it, or the whole id of an organisation or a role with what is in it.
definite("pattern", value) if {
	startswith(value, "arn:")
	not iam.wild(split(value, ":")[4])
	not contains(value, "${")
	split(value, ":")[4] != ""
}

definite("pattern", value) if {
	startswith(value, "arn:")
	not iam.wild(value)
	not contains(value, "${")
}

definite("pattern", value) if {
	not startswith(value, "arn:")
	not iam.wild(value)
	not contains(value, "${")
}

definite("pattern", value) if {
	regex.match(`^(o-[0-9a-z]{10,32}/|A[0-9A-Z]{15,31}:)`, value)
	not contains(value, "${")
}

# As AWS judges it: no wider than /8, and of IPv6 than /32.
definite("block", value) if {
	regex.match(`^[0-9.]+(/([89]|[12][0-9]|3[0-2]))?$`, value)
}

definite("block", value) if {
	contains(value, ":")
	regex.match(`^[0-9a-fA-F:.]+(/(3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-8]))?$`, value)
}

unread contains "whether its public access block, and that of the account, restrict public policies" if {
	not blocked("restrictPublicBuckets")
	not block_read("restrictPublicBuckets")
}

unread contains "whether its public access block, and that of the account, ignore public lists" if {
	not blocked("ignorePublicAcls")
	not block_read("ignorePublicAcls")
}

unread contains "what its policy says" if {
	not blocked("restrictPublicBuckets")
	not policy_read
}

policy_read if bucket.policy == null

policy_read if iam.well_granting(bucket.policy)

unread contains "what its access control list grants" if {
	not blocked("ignorePublicAcls")
	not lists_read
}

lists_read if {
	is_array(bucket.aclGrants)
	every grant in bucket.aclGrants {
		is_string(grant.grantee)
		is_string(grant.permission)
	}
}
