package guardian.workload.image_digest_test

import future.keywords.not

import data.guardian.workload.image_digest

sha256 := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

hex64 := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

pinned := concat("@", ["registry.example.com:5000/erp/odoo:17.0", sha256])

pod(spec) := {"kind": "k8s.core.Pod", "id": "k8s:c/core/Pod/erp/odoo", "attributes": {"metadata": {}, "spec": spec}}

running(image) := pod({"containers": [{"name": "odoo", "image": image}]})

found(resource) := findings if {
	findings := image_digest.findings with input as {"resource": resource, "params": {}}
}

verdicts(resource) := [finding.verdict | some finding in found(resource)]

test_pinned_image_passes_with_and_without_tag if {
	verdicts(running(pinned)) == []
	verdicts(running(concat("@", ["odoo", sha256]))) == []
	verdicts(running(concat("", ["odoo@sha512:", hex64, hex64]))) == []
}

test_image_without_a_full_digest_fails if {
	every image in [
		"odoo",
		"odoo:17",
		"odoo:latest",
		"",
		concat("@", ["", sha256]),
		concat("", ["odoo@sha256:", "abc"]),
		concat("", ["odoo@sha256:", hex64, "0"]),
		concat("", ["odoo@sha256:", upper(hex64)]),
		concat("", ["odoo@sha256:", substring(hex64, 0, 63), "g"]),
		concat("", ["odoo@sha256:", substring(hex64, 0, 63), " "]),
		concat("", ["odoo@sha512:", hex64]),
		concat("", ["odoo@md5:", substring(hex64, 0, 32)]),
		concat("", ["odoo@", hex64]),
		concat("", ["odoo:", hex64]),
		concat("", ["odoo@", sha256, "@", sha256]),
		concat("", ["odoo@", sha256, ":17"]),
		null,
		7,
		{"$redacted": "ab"},
	] {
		verdicts(running(image)) == ["fail"]
	}
}

test_finding_names_every_container_its_image_and_its_field if {
	resource := {
		"kind": "k8s.batch.CronJob",
		"id": "k8s:c/batch/CronJob/erp/report",
		"attributes": {"spec": {"jobTemplate": {"spec": {"template": {"spec": {
			"containers": [{"name": "a", "image": pinned}, {"name": "b", "image": "odoo:17"}],
			"initContainers": [{"name": "c", "image": "vector", "restartPolicy": "Always"}],
			"ephemeralContainers": [{"name": "d", "image": "busybox"}],
		}}}}}},
	}
	some finding in found(resource)
	finding.verdict == "fail"
	finding.observed == [
		{
			"container": "b",
			"field": "spec.jobTemplate.spec.template.spec.containers[1].image",
			"value": "odoo:17",
		},
		{
			"container": "c",
			"field": "spec.jobTemplate.spec.template.spec.initContainers[0].image",
			"value": "vector",
		},
		{
			"container": "d",
			"field": "spec.jobTemplate.spec.template.spec.ephemeralContainers[0].image",
			"value": "busybox",
		},
	]
	contains(finding.message, "container b image odoo:17 (spec.jobTemplate.spec.template.spec.containers[1].image)")
	contains(finding.message, "container d image busybox")
	not contains(finding.message, "container a")
}

mounting(source) := pod({
	"containers": [{"name": "odoo", "image": pinned}],
	"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "addons", "image": source}],
})

test_image_volume_is_judged_too if {
	verdicts(mounting({"reference": pinned})) == []
	some finding in found(mounting({"reference": "erp/addons:1"}))
	finding.observed == [{"container": null, "field": "spec.volumes[1].image.reference", "value": "erp/addons:1"}]
	verdicts(mounting({})) == ["fail"]
	verdicts(mounting("x")) == ["fail"]
	verdicts(mounting(null)) == []
}

test_missing_spec_containers_or_garbled_lists_are_errors if {
	verdicts({"kind": "k8s.core.Pod", "id": "x", "attributes": {}}) == ["error"]
	verdicts({"kind": "k8s.apps.Deployment", "id": "x", "attributes": {"spec": {}}}) == ["error"]
	verdicts({"kind": "k8s.core.Pod", "id": "x"}) == ["error"]
	verdicts(pod({})) == ["error"]
	verdicts(pod({"containers": []})) == ["error"]
	verdicts(pod({"containers": [{"name": "a", "image": pinned}], "volumes": "x"})) == ["error"]
	verdicts(pod({"containers": [{"name": "a", "image": pinned}], "initContainers": {"x": {"image": pinned}}})) == ["error"]
}

test_kind_that_runs_nothing_is_an_error if {
	verdicts({"kind": "k8s.core.Service", "id": "x", "attributes": {"spec": {}}}) == ["error"]
}

test_what_is_no_name_of_an_image_fails_with_any_digest if {
	every name in [
		"x y",
		" x",
		"http://x",
		"https://registry.example.com/x",
		"Odoo",
		"registry.example.com/Odoo",
		"x/",
		"/x",
		"x//y",
		"x:",
		"x:a/b:c:d",
		"x:a b",
		"x\n",
		"x\ny",
		"\u00e4",
		"-x",
		concat("", ["x", concat("", [":aaaaaaaaaa" | some _ in numbers.range(1, 40)])]),
		concat("", ["a" | some _ in numbers.range(1, 385)]),
	] {
		verdicts(running(concat("@", [name, sha256]))) == ["fail"]
	}
}

test_every_usual_form_of_a_name_passes_with_a_digest if {
	every name in [
		"a",
		"library/odoo",
		"odoo:17.0-RC1_x",
		"localhost/odoo",
		"localhost:5000/erp/odoo",
		"Registry.example.com:5000/erp/odoo:V17",
		"[2001:db8::1]:5000/erp/odoo",
		"10.0.0.1/erp/od__oo--x.y_z",
		"gcr.io/k8s-staging/a/b/c/d:latest",
	] {
		verdicts(running(concat("@", [name, sha256]))) == []
	}
}

test_finding_names_fifty_images_short_and_says_how_many_more if {
	image := concat("", ["a" | some _ in numbers.range(1, 5000)])
	some finding in found(pod({"containers": [{"name": sprintf("c%d", [i]), "image": image} | some i in numbers.range(1, 120)]}))
	count(finding.observed) == 50
	contains(finding.message, "; and 70 more. Write name@sha256")
	count(finding.message) < 12000
}
