package guardian.rbac.cluster_admin_test

import future.keywords.not

import data.guardian.rbac.cluster_admin

api := "rbac.authorization.k8s.io"

cluster_binding(subjects) := {
	"kind": "k8s.rbac.authorization.k8s.io.ClusterRoleBinding",
	"id": "k8s:prod/rbac.authorization.k8s.io/ClusterRoleBinding/power",
	"scope": {"cluster": "prod", "labels": {}},
	"attributes": {
		"metadata": {"name": "power"},
		"roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": subjects,
	},
}

binding(subjects) := {
	"kind": "k8s.rbac.authorization.k8s.io.RoleBinding",
	"id": "k8s:prod/rbac.authorization.k8s.io/RoleBinding/erp/power",
	"scope": {"cluster": "prod", "namespace": "erp", "labels": {}},
	"attributes": {
		"metadata": {"name": "power", "namespace": "erp"},
		"roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": subjects,
	},
}

masters := {"apiGroup": api, "kind": "Group", "name": "system:masters"}

anna := {"apiGroup": api, "kind": "User", "name": "anna"}

deployer := {"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"}

defaults := {"allowed": ["Group:system:masters"], "equivalent": []}

found(resource, params) := findings if {
	findings := cluster_admin.findings with input as {"resource": resource, "params": params}
}

verdicts(resource, params) := {finding.verdict | some finding in found(resource, params)}

attributes(resource, changes) := object.union(resource, {"attributes": changes})

test_listed_subjects_pass_in_both_kinds if {
	verdicts(cluster_binding([masters]), defaults) == set()
	verdicts(binding([masters]), defaults) == set()
	params := {"allowed": ["User:anna", "ServiceAccount:ci/deployer"], "equivalent": []}
	verdicts(cluster_binding([anna, deployer]), params) == set()
}

test_subject_off_the_list_fails_and_is_named if {
	some finding in found(cluster_binding([masters, deployer, anna]), defaults)
	finding.verdict == "fail"
	contains(finding.message, "power gives cluster-admin to ServiceAccount:ci/deployer, User:anna, which")
	finding.observed == {"role": "cluster-admin", "subjects": ["ServiceAccount:ci/deployer", "User:anna"]}
	finding.expected == {"allowed": ["Group:system:masters"]}
}

test_binding_in_one_namespace_fails_too if {
	some finding in found(binding([anna]), defaults)
	finding.verdict == "fail"
	contains(finding.message, "gives cluster-admin in namespace erp to User:anna")
}

test_kind_and_namespace_of_a_subject_count if {
	group := object.union(anna, {"kind": "Group"})
	verdicts(cluster_binding([group]), {"allowed": ["User:anna"], "equivalent": []}) == {"fail"}
	other := object.union(deployer, {"namespace": "dev"})
	verdicts(cluster_binding([other]), {"allowed": ["ServiceAccount:ci/deployer"], "equivalent": []}) == {"fail"}
	user := {"kind": "User", "name": "system:serviceaccount:ci:deployer"}
	verdicts(cluster_binding([user]), {"allowed": ["ServiceAccount:ci/deployer"], "equivalent": []}) == {"fail"}
}

test_service_account_without_namespace_is_one_of_the_binding if {
	local := {"kind": "ServiceAccount", "name": "deployer"}
	params := {"allowed": ["ServiceAccount:erp/deployer"], "equivalent": []}
	verdicts(binding([local]), params) == set()
	verdicts(binding([object.union(local, {"namespace": ""})]), params) == set()
	verdicts(binding([object.union(local, {"namespace": "crm"})]), params) == {"fail"}
}

test_equivalent_roles_are_judged_alike if {
	other := attributes(cluster_binding([anna]), {"roleRef": {"name": "root"}})
	verdicts(other, defaults) == set()
	verdicts(other, {"allowed": [], "equivalent": ["root"]}) == {"fail"}
	verdicts(cluster_binding([anna]), {"allowed": [], "equivalent": ["root"]}) == {"fail"}
}

test_other_roles_pass_and_a_role_of_that_name_is_another_one if {
	verdicts(attributes(cluster_binding([anna]), {"roleRef": {"name": "view"}}), defaults) == set()
	verdicts(attributes(binding([anna]), {"roleRef": {"kind": "Role"}}), defaults) == set()
}

test_what_a_server_fills_in_changes_nothing if {
	bare := {"kind": "User", "name": "anna"}
	written := json.remove(cluster_binding([bare]), ["attributes/roleRef/apiGroup"])
	{object.remove(finding, ["resource"]) | some finding in found(written, defaults)} == {object.remove(finding, ["resource"]) |
		some finding in found(cluster_binding([anna]), defaults)
	}
}

test_binding_of_nobody_does_not_apply if {
	every nobody in [null, []] {
		verdicts(cluster_binding(nobody), defaults) == {"skip"}
	}
	verdicts(json.remove(cluster_binding([]), ["attributes/subjects"]), defaults) == {"skip"}
}

test_subject_of_unknown_form_has_cluster_admin_or_is_an_error if {
	every wrong in [
		null,
		"anna",
		{},
		{"kind": "Robot", "name": "r2"},
		{"kind": "Robot", "name": "r2", "namespace": "ci"},
		{"kind": "User", "name": 7},
		{"kind": "ServiceAccount", "name": "", "namespace": "ci"},
		{"kind": "User"},
		{"kind": "User", "name": ""},
		{"kind": "User", "name": "anna", "apiGroup": "example.org"},
		{"kind": "ServiceAccount", "name": "deployer"},
		{"kind": "ServiceAccount", "name": "deployer", "namespace": "ci", "apiGroup": api},
	] {
		verdicts(cluster_binding([masters, wrong]), defaults) == {"fail"}
		view := attributes(cluster_binding([masters, wrong]), {"roleRef": {"name": "view"}})
		verdicts(view, defaults) == {"error"}
	}
}

test_missing_fact_is_an_error if {
	every path in [
		"attributes",
		"attributes/roleRef",
		"attributes/roleRef/name",
		"attributes/roleRef/kind",
		"attributes/metadata/name",
	] {
		verdicts(json.remove(cluster_binding([masters]), [path]), defaults) == {"error"}
	}
	verdicts(json.remove(binding([masters]), ["scope/namespace"]), defaults) == {"error"}
	verdicts(attributes(cluster_binding([masters]), {"roleRef": {"apiGroup": "example.org"}}), defaults) == {"error"}
	verdicts(attributes(cluster_binding([masters]), {"roleRef": {"name": ""}}), defaults) == {"error"}
	verdicts(attributes(cluster_binding([masters]), {"roleRef": {"kind": "clusterrole"}}), defaults) == {"error"}
	verdicts(attributes(cluster_binding([masters]), {"subjects": {"a": masters}}), defaults) == {"error"}
	verdicts(object.union(cluster_binding([masters]), {"kind": "k8s.core.Pod"}), defaults) == {"error"}
}

test_missing_parameters_never_excuse if {
	verdicts(cluster_binding([masters]), {}) == {"fail"}
	verdicts(attributes(cluster_binding([masters]), {"roleRef": {"name": "view"}}), {}) == {"error"}
}

test_crowd_of_subjects_fails_whatever_it_gets if {
	crowd := [{"kind": "User", "name": sprintf("u%d", [i])} | some i in numbers.range(1, 1001)]
	view := {"roleRef": {"name": "view"}}
	some finding in found(attributes(cluster_binding(crowd), view), defaults)
	finding.verdict == "fail"
	finding.message == "binds 1001 subjects, which nobody can review"
	verdicts(attributes(cluster_binding(array.slice(crowd, 0, 1000)), view), defaults) == set()
	some other in found(cluster_binding(array.slice(crowd, 0, 1000)), defaults)
	count(other.observed.subjects) == 50
	contains(other.message, "; and 950 more, which the list")
}

test_shipped_role_is_for_the_component_that_it_ships_for_only if {
	collector := "system:controller:generic-garbage-collector"
	params := object.union(defaults, {"equivalent": [collector, "system:kube-controller-manager"]})
	own := {"kind": "ServiceAccount", "namespace": "kube-system", "name": "generic-garbage-collector"}
	manager := {"kind": "User", "apiGroup": api, "name": "system:kube-controller-manager"}
	shipped := {"roleRef": {"name": collector}}
	verdicts(attributes(cluster_binding([own]), shipped), params) == set()
	verdicts(attributes(cluster_binding([manager]), {"roleRef": {"name": manager.name}}), params) == set()
	every other in [anna, manager, object.union(own, {"namespace": "erp"}), object.union(own, {"name": "job-controller"})] {
		verdicts(attributes(cluster_binding([own, other]), shipped), params) == {"fail"}
	}
	verdicts(cluster_binding([own]), params) == {"fail"}
}
