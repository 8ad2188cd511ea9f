# METADATA
# scope: package
# title: cluster-admin is bound to nobody off the list
# description: |
#   No ClusterRoleBinding and no RoleBinding gives the ClusterRole cluster-admin, or one that `equivalent` names, to a
#   subject that is not on `allowed`. A RoleBinding counts too: it gives everything in its namespace, secrets and the
#   rights of its service accounts included. A subject is named by its kind: `Group:system:masters`, `User:anna`,
#   `ServiceAccount:namespace/name`. A service account listed so is not excused when it is bound as the user
#   `system:serviceaccount:namespace:name`. `equivalent` names by default the roles that Kubernetes ships for its own
#   components with wildcards or ways to more rights, which rbac.wildcard passes over; the component that Kubernetes 1.36
#   binds such a role to may have that one. A binding with more than 1,000 subjects fails whatever it gives.
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
#     description: Kubernetes, cluster-admin and the other roles for people
#   - ref: https://kubernetes.io/docs/concepts/security/rbac-good-practices/#least-privilege
#     description: Kubernetes, least privilege
# custom:
#   id: rbac.cluster-admin
#   scope: resource
#   severity: critical
#   remediation: |
#     Delete the binding (`kubectl delete clusterrolebinding NAME`) and bind a role with the rights that are needed, in the
#     namespace where they are needed: `kubectl create rolebinding NAME --clusterrole=edit --user=anna -n erp`. A subject
#     that really needs it goes, by review, into guardian.yaml: `controls: {rbac.cluster-admin: {params: {allowed:
#     ["Group:system:masters", "ServiceAccount:argocd/argocd-application-controller"]}}}`.
#   inputs: [k8s.rbac.authorization.k8s.io.ClusterRoleBinding, k8s.rbac.authorization.k8s.io.RoleBinding]
#   frameworks:
#     nist-800-53r5: [AC-6(5)]
#     iso-27001-2022: [A.8.2]
#     soc2: [CC6.3]
#   stages: [audit, admission]
#   uses: []
package guardian.rbac.cluster_admin

import future.keywords.not

import data.guardian.lib.outcome
import data.guardian.lib.shipped_roles

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

# One that takes longer to judge than anybody waits for would be a way past admission.
verdict := outcome.fail(input.resource.id, message, {"most": most}, null) if {
	not is_string(subjects)
	count(subjects) > most
	message := sprintf("binds %d subjects, which nobody can review", [count(subjects)])
} else := outcome.fail(input.resource.id, message, expected, observed) if {
	powerful
	count(refused) > 0
	named := outcome.first(sort(refused))
	message := sprintf("%v gives %v%s to %s%s, which the list of allowed subjects does not name", [
		binding.metadata.name,
		binding.roleRef.name,
		where,
		concat(", ", [outcome.short(name) | some name in named]),
		outcome.rest(count(refused)),
	])
	expected := {"allowed": sort(allowed)}
	observed := {"role": binding.roleRef.name, "subjects": named}
} else := outcome.skip(input.resource.id, "binds nobody") if {
	known
	count(subjects) == 0
} else := outcome.proved if {
	known
	not powerful
} else := outcome.proved if {
	known
	count(refused) == 0
} else := outcome.unknown(input.resource.id)

most := 1000

binding := input.resource.attributes

where := concat(" ", [" in namespace", input.resource.scope.namespace]) if {
	not cluster_wide
} else := ""

cluster_wide if input.resource.kind == "k8s.rbac.authorization.k8s.io.ClusterRoleBinding"

namespaced if {
	input.resource.kind == "k8s.rbac.authorization.k8s.io.RoleBinding"
	is_string(input.resource.scope.namespace)
	input.resource.scope.namespace != ""
}

placed if cluster_wide

placed if namespaced

powerful if {
	binding.roleRef.kind == "ClusterRole"
	binding.roleRef.name in ({"cluster-admin"} | {name | some name in input.params.equivalent})
}

# known: what is bound and to whom has the form that the API server asks for.
known if {
	placed
	is_string(binding.metadata.name)
	is_string(binding.roleRef.name)
	binding.roleRef.name != ""
	binding.roleRef.kind in {"ClusterRole", "Role"}
	object.get(binding.roleRef, "apiGroup", null) in {null, "", "rbac.authorization.k8s.io"}
	is_array(input.params.equivalent)
	is_array(subjects)
	every subject in subjects { is_string(name_of(subject)) }
}

# A binding without subjects has null, an empty list or nothing there.
subjects := [] if {
	object.get(binding, "subjects", null) == null
} else := binding.subjects

# The subjects on the list, and for a role that ships with Kubernetes the ones that it is bound to as it ships.
allowed := listed | object.get(shipped_roles.subjects, binding.roleRef.name, set())

listed := {name | some name in input.params.allowed}

refused contains shown if {
	some subject in subjects
	shown := called(subject)
	not name_of(subject) in allowed
}

called(subject) := name if {
	name := name_of(subject)
} else := "a subject of unknown form"

name_of(subject) := concat("", [subject.kind, ":", subject.name]) if {
	subject.kind in {"Group", "User"}
	is_string(subject.name)
	subject.name != ""
	object.get(subject, "apiGroup", null) in {null, "", "rbac.authorization.k8s.io"}
} else := concat("", ["ServiceAccount:", namespace_of(subject), "/", subject.name]) if {
	subject.kind == "ServiceAccount"
	is_string(subject.name)
	subject.name != ""
	object.get(subject, "apiGroup", null) in {null, ""}
}

# A RoleBinding's service account without a namespace is one of its own.
namespace_of(subject) := subject.namespace if {
	is_string(subject.namespace)
	subject.namespace != ""
} else := input.resource.scope.namespace if {
	namespaced
	object.get(subject, "namespace", null) in {null, ""}
}
