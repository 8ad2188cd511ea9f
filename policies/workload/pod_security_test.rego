package guardian.workload.pod_security_test

import future.keywords.not

import data.guardian.lib.pod_security_standard as standard
import data.guardian.workload.pod_security

good_context := {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}

good_container := {
	"name": "odoo",
	"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
}

# What no check has anything against, with changes to the pod's spec.
spec(changes) := object.union({"securityContext": good_context, "containers": [good_container]}, changes)

# The same with a change to the security context of its only container.
contained(changes) := spec({"containers": [object.union(good_container, {"securityContext": changes})]})

pod(content) := {
	"kind": "k8s.core.Pod",
	"id": "k8s:c/core/Pod/erp/odoo",
	"scope": {"cluster": "c", "namespace": "erp"},
	"attributes": {"metadata": {"name": "odoo"}, "spec": content},
}

judged(resource, params) := findings if {
	findings := pod_security.findings with input as {"resource": resource, "params": params}
}

verdicts(resource, level) := [finding.verdict | some finding in judged(resource, {"level": level, "namespaces": {}})]

# Which checks a spec breaks at a level; `error` where it could not be judged.
checks(content, level) := {check |
	some finding in judged(pod(content), {"level": level, "namespaces": {}})
	some check in said(finding)
}

said(finding) := [entry.check | some entry in finding.observed] if {
	finding.verdict == "fail"
} else := [finding.verdict]

test_pod_that_keeps_to_the_standard_passes if {
	verdicts(pod(spec({})), "restricted") == []
	verdicts(pod(spec({})), "baseline") == []
	verdicts(pod({"containers": [{"name": "a"}]}), "baseline") == []
}

test_each_check_of_baseline_fails_by_its_name if {
	every entry in [
		["hostNamespaces", spec({"hostNetwork": true})],
		["hostNamespaces", spec({"hostPID": true})],
		["hostNamespaces", spec({"hostIPC": "yes"})],
		["privileged", contained({"privileged": true})],
		["windowsHostProcess", contained({"windowsOptions": {"hostProcess": true}})],
		["windowsHostProcess", spec({"securityContext": {"windowsOptions": {"hostProcess": true}}})],
		["windowsHostProcess", spec({"securityContext": {"windowsOptions": "x"}})],
		["capabilities_baseline", contained({"capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}})],
		["capabilities_baseline", contained({"capabilities": {"add": "SYS_ADMIN"}})],
		["capabilities_baseline", contained({"capabilities": "SYS_ADMIN"})],
		["hostPathVolumes", spec({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]})],
		["hostPorts", spec({"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]})],
		["hostProbesAndHostLifecycle", spec({"containers": [{
			"name": "a",
			"startupProbe": {"tcpSocket": {"host": "h"}},
		}]})],
		["hostProbesAndHostLifecycle", spec({"containers": [{
			"name": "a",
			"lifecycle": {"preStop": {"httpGet": {"host": "h"}}},
		}]})],
		["appArmorProfile", contained({"appArmorProfile": {"type": "Unconfined"}})],
		["appArmorProfile", contained({"appArmorProfile": {}})],
		["appArmorProfile", spec({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}})],
		["seLinuxOptions", contained({"seLinuxOptions": {"type": "spc_t"}})],
		["seLinuxOptions", contained({"seLinuxOptions": {"user": "u"}})],
		["seLinuxOptions", spec({"securityContext": {"seLinuxOptions": {"role": "r"}}})],
		["procMount", contained({"procMount": "Unmasked"})],
		["seccompProfile", contained({"seccompProfile": {"type": "Unconfined"}})],
		["seccompProfile", spec({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})],
		["sysctls", spec({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}})],
	] {
		checks(entry[1], "baseline") == {entry[0]}
	}
}

test_each_check_of_restricted_alone_fails_by_its_name if {
	every entry in [
		["restrictedVolumes", spec({"volumes": [{"name": "share", "nfs": {"server": "s", "path": "/"}}]})],
		["restrictedVolumes", spec({"volumes": [{"name": "new", "whatIsThis": {}}]})],
		["allowPrivilegeEscalation", contained({"allowPrivilegeEscalation": true})],
		["allowPrivilegeEscalation", contained({"allowPrivilegeEscalation": null})],
		["capabilities_restricted", contained({"capabilities": {"drop": ["NET_RAW"]}})],
		["capabilities_restricted", contained({"capabilities": {"add": ["CHOWN"]}})],
		["seccompProfile", spec({"securityContext": {"seccompProfile": null}})],
		["runAsNonRoot", spec({"securityContext": {"runAsNonRoot": false}})],
		["runAsNonRoot", spec({"securityContext": {"runAsNonRoot": null}})],
		["runAsNonRoot", contained({"runAsNonRoot": false})],
		["runAsUser", spec({"securityContext": {"runAsUser": 0}})],
		["runAsUser", contained({"runAsUser": "0"})],
	] {
		checks(entry[1], "restricted") == {entry[0]}
		checks(entry[1], "baseline") == set()
	}
}

test_every_check_has_words_for_people if {
	every content in [contained({"privileged": true}), spec({"hostPID": true})] {
		some finding in judged(pod(content), {"level": "baseline", "namespaces": {}})
		every entry in finding.observed {
			contains(finding.message, standard.must[entry.check])
			contains(finding.message, entry.field)
		}
	}
}

test_containers_and_pod_complete_each_other if {
	alone := {"runAsNonRoot": true, "seccompProfile": {"type": "Localhost"}}
	bare := object.union(contained(alone), {"securityContext": {"runAsNonRoot": null, "seccompProfile": null}})
	checks(bare, "restricted") == set()
}

test_windows_pods_are_exempt_as_the_standard_says if {
	windows := {"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "a"}]}
	checks(windows, "restricted") == set()
	checks(object.union(windows, {"os": {"name": "linux"}}), "restricted") == {
		"allowPrivilegeEscalation",
		"capabilities_restricted",
		"seccompProfile",
	}
}

test_user_namespace_relaxes_as_the_standard_says if {
	root := {"hostUsers": false, "securityContext": {"runAsNonRoot": false, "runAsUser": 0}}
	checks(spec(root), "restricted") == set()
	unmasked := object.union(contained({"procMount": "Unmasked"}), {"hostUsers": false})
	checks(unmasked, "baseline") == set()
	checks(unmasked, "restricted") == {"procMount"}
	checks(object.union(unmasked, {"hostUsers": "false"}), "baseline") == {"procMount"}
}

test_annotation_and_field_of_apparmor_are_one_finding if {
	key := "container.apparmor.security.beta.kubernetes.io/odoo"
	annotated := object.union(pod(spec({})), {"attributes": {"metadata": {"annotations": {key: "unconfined"}}}})
	set_too := {"attributes": {"spec": contained({"appArmorProfile": {"type": "Unconfined"}})}}
	some finding in judged(annotated, {"level": "baseline", "namespaces": {}})
	finding.observed == [{
		"check": "appArmorProfile",
		"container": "odoo",
		"field": "spec.containers[0].securityContext.appArmorProfile.type",
		"value": "Unconfined",
	}]
	judged(object.union(annotated, set_too), {"level": "baseline", "namespaces": {}}) == {finding}
}

test_annotation_of_apparmor_that_is_no_profile_fails if {
	every value in ["weird", "unconfined", 7, {}] {
		key := "container.apparmor.security.beta.kubernetes.io/nobody"
		resource := object.union(pod(spec({})), {"attributes": {"metadata": {"annotations": {key: value}}}})
		some finding in judged(resource, {"level": "baseline", "namespaces": {}})
		finding.observed[0].field == "metadata.annotations[container.apparmor.security.beta.kubernetes.io/nobody]"
	}
}

test_port_that_the_host_network_implies_is_not_told_again if {
	on_host := {
		"hostNetwork": true,
		"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}],
	}
	checks(on_host, "baseline") == {"hostNamespaces"}
}

test_one_finding_names_every_container_and_field if {
	bad := {"initContainers": [{"name": "init"}], "containers": [{"name": "a"}, good_container]}
	deployment := {
		"kind": "k8s.apps.Deployment",
		"id": "k8s:c/apps/Deployment/erp/odoo",
		"scope": {"namespace": "erp"},
		"attributes": {"spec": {"template": {"spec": object.union({"securityContext": good_context}, bad)}}},
	}
	found := judged(deployment, {"level": "restricted", "namespaces": {}})
	count(found) == 1
	some finding in found
	finding.expected == {"level": "restricted", "version": "1.36"}
	[[entry.container, entry.field] | some entry in finding.observed] == [
		["a", "spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation"],
		["init", "spec.template.spec.initContainers[0].securityContext.allowPrivilegeEscalation"],
		["a", "spec.template.spec.containers[0].securityContext.capabilities.drop"],
		["init", "spec.template.spec.initContainers[0].securityContext.capabilities.drop"],
	]
	contains(finding.message, "allowPrivilegeEscalation must be false (container a spec.template.spec.containers[0]")
}

test_namespace_may_have_a_level_of_its_own if {
	hosted := pod(spec({"hostNetwork": true}))
	judged(hosted, {"level": "baseline", "namespaces": {"other": "privileged"}}) != set()
	some finding in judged(hosted, {"level": "restricted", "namespaces": {"erp": "privileged"}})
	finding.verdict == "skip"
	unpatched := pod({"containers": [{"name": "a"}]})
	judged(unpatched, {"level": "restricted", "namespaces": {"erp": "baseline"}}) == set()
	judged(unpatched, {"level": "privileged", "namespaces": {"erp": "restricted"}}) != set()
}

test_unknown_level_is_an_error_not_a_pass if {
	every params in [
		{},
		{"level": "Restricted", "namespaces": {}},
		{"level": null, "namespaces": {}},
		{"namespaces": {}},
		{"level": "baseline", "namespaces": {"erp": "none"}},
	] {
		some finding in judged(pod(spec({})), params)
		finding.verdict == "error"
		contains(finding.message, "must be privileged, baseline or restricted")
	}
}

test_namespace_that_is_not_known_is_an_error if {
	resource := object.remove(pod(spec({})), ["scope"])
	verdicts(resource, "baseline") == ["error"]
}

test_missing_or_garbled_pod_is_an_error if {
	every content in [
		{},
		"x",
		spec({"containers": []}),
		spec({"containers": ["a"]}),
		spec({"containers": [{"name": "a", "securityContext": "x"}]}),
		spec({"containers": [{"name": "a", "ports": "x"}]}),
		spec({"containers": [{"name": "a", "ports": ["x"]}]}),
		spec({"initContainers": "x"}),
		spec({"volumes": {"x": {"hostPath": {}}}}),
		spec({"volumes": ["x"]}),
		spec({"securityContext": {"sysctls": "x"}}),
		spec({"securityContext": {"sysctls": ["x"]}}),
	] {
		verdicts(pod(content), "baseline") == ["error"]
	}
	verdicts(pod(object.union(spec({}), {"securityContext": null})), "baseline") == []
	verdicts({"kind": "k8s.core.Pod", "id": "x", "scope": {"namespace": "erp"}}, "baseline") == ["error"]
	verdicts({"kind": "k8s.core.Service", "id": "x", "scope": {"namespace": "erp"}, "attributes": {}}, "baseline") == ["error"]
}

test_crowd_of_host_ports_fails_without_being_judged_one_by_one if {
	ports := [{"containerPort": i, "hostPort": i} | some i in numbers.range(1, 4000)]
	some finding in judged(pod(spec({"containers": [{"name": "a", "ports": ports}]})), {"level": "baseline", "namespaces": {}})
	finding.verdict == "fail"
	finding.message == "has 4000 ports, and none may have more than 500"
}

test_finding_names_fifty_fields_and_says_how_many_more if {
	ports := [{"containerPort": i, "hostPort": i} | some i in numbers.range(1, 120)]
	some finding in judged(pod(spec({"containers": [{"name": "a", "ports": ports}]})), {"level": "baseline", "namespaces": {}})
	count(finding.observed) == 50
	endswith(finding.message, "; and 70 more")
	count(finding.message) < 10000
}
