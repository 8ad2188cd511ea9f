# METADATA
# scope: package
# title: Container images are pinned by digest
# description: |
#   Every image that a pod runs or mounts is named with its digest: of containers, init containers, sidecars, ephemeral
#   containers and image volumes. A tag can be moved to another image after it was tested, a digest cannot. Digests are
#   SHA-256 or SHA-512 in full and in lower case, as container runtimes accept them; a tag before the digest is welcome.
#   What stands before the digest must be the name of an image, without a scheme.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/containers/images/#image-names
#     description: Kubernetes, image names and digests
#   - ref: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
#     description: OCI image specification, digests
# custom:
#   id: workload.image-digest
#   scope: resource
#   severity: high
#   remediation: |
#     Name the image with its digest, in the field that the finding names:
#     `image: registry.example.com/erp/odoo:17.0@sha256:<64 hexadecimal digits>`.
#     The digest of a tag: `crane digest registry.example.com/erp/odoo:17.0`, or `docker buildx imagetools inspect` of it.
#   inputs:
#     - k8s.core.Pod
#     - k8s.core.ReplicationController
#     - k8s.apps.Deployment
#     - k8s.apps.StatefulSet
#     - k8s.apps.DaemonSet
#     - k8s.apps.ReplicaSet
#     - k8s.batch.Job
#     - k8s.batch.CronJob
#   frameworks:
#     nist-800-53r5: [CM-2, CM-14]
#     iso-27001-2022: [A.8.9]
#     soc2: [CC8.1]
#   stages: [audit, admission]
#   uses: []
package guardian.workload.image_digest

import future.keywords.not

import data.guardian.lib.outcome
import data.guardian.lib.workload

spec := workload.pod(input.resource).spec

# Without an id no finding could be made, and nothing found would be a pass.
id := input.resource.id if {
	is_string(input.resource.id)
} else := ""

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.fail(id, workload.crowd(spec), {"most": workload.most}, null) if {
	is_string(workload.crowd(spec))
} else := outcome.fail(id, message, expected, named) if {
	count(unpinned) > 0
	named := outcome.first(sort(unpinned))
	message := concat("", [
		"not pinned by digest: ",
		concat("; ", [text | some entry in named; text := told(entry)]),
		outcome.rest(count(unpinned)),
		". Write name@sha256:<digest>",
	])
	expected := "every image ends in @sha256: and 64, or @sha512: and 128, hexadecimal digits"
} else := outcome.proved if {
	workload.complete(spec)
	workload.optional_objects(spec, "volumes")
	count(unpinned) == 0
} else := outcome.unknown(id)

unpinned contains entry if {
	some container in workload.containers(spec)
	not pinned(container[2].image)
	path := workload.path(workload.within(input.resource.kind), container)
	entry := {
		"container": object.get(container[2], "name", null),
		"field": concat("", [path, ".image"]),
		"value": outcome.short(object.get(container[2], "image", null)),
	}
}

unpinned contains entry if {
	some index, volume in spec.volumes
	object.get(volume, "image", null) != null
	not pinned(volume.image.reference)
	entry := {
		"container": null,
		"field": concat("", [
			workload.within(input.resource.kind),
			"spec.volumes[",
			format_int(index, 10),
			"].image.reference",
		]),
		"value": outcome.short(object.get(volume, ["image", "reference"], null)),
	}
}

# A registry's host, a path in lower case, a tag: what container runtimes take for a name, and nothing with a scheme or a
# space in it. A path has at most 255 characters, a tag 128.
is_name(name) if {
	count(name) <= longest_name
	parts := split(name, "/")
	final := count(parts) - 1
	every i, part in parts {
		is_part(part, i == 0, i == final)
	}
}

is_part(part, _, _) if is_component(part)

is_part(part, _, true) if {
	[component, tag] := split(part, ":")
	is_component(component)
	only(tag, concat("", [letters, upper(letters), "0123456789_.-"]))
}

is_part(part, true, false) if {
	[host, port] := split(part, ":")
	is_host(host)
	only(port, "0123456789")
}

is_part(part, true, false) if is_host(part)

# An IPv6 address in brackets.
is_part(part, true, false) if {
	[address, port] := split(trim_prefix(part, "["), "]")
	concat("", ["[", address, "]", port]) == part
	only(address, "0123456789abcdefABCDEF:")
	trim_left(trim_prefix(port, ":"), "0123456789") == ""
}

is_host(host) if {
	only(host, concat("", [letters, upper(letters), "0123456789.-"]))
	trim(host, ".-") == host
}

is_component(text) if {
	only(text, concat("", [letters, "0123456789._-"]))
	trim(text, "._-") == text
}

only(text, characters) if {
	text != ""
	trim_left(text, characters) == ""
}

letters := "abcdefghijklmnopqrstuvwxyz"

longest_name := 384

digits := {"sha256": 64, "sha512": 128}

pinned(image) if {
	[name, digest] := split(image, "@")
	count(name) <= longest_name
	is_name(name)
	[algorithm, hex] := split(digest, ":")
	count(hex) == digits[algorithm]
	trim_left(hex, "0123456789abcdef") == ""
}

told(entry) := concat("", [subject(entry), " ", shown(entry.value), " (", entry.field, ")"])

subject(entry) := concat(" ", ["container", entry.container, "image"]) if {
	is_string(entry.container)
} else := "image"

shown(value) := value if {
	is_string(value)
} else := "without a name"
