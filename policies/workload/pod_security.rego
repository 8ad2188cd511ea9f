# METADATA
# scope: package
# title: Pods keep to the Pod Security Standard asked of their namespace
# description: |
#   Every check of the Pod Security Standards of Kubernetes 1.36, as the API server's own admission plugin makes them, on
#   Pods and on the templates that make them: `baseline`, or `restricted` which includes it. The relaxations of the
#   standard count: for Windows pods, and for pods in a user namespace (`hostUsers: false`). Where several fields break it,
#   one finding names them all.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/security/pod-security-standards/
#     description: Kubernetes, Pod Security Standards
#   - ref: https://github.com/kubernetes/pod-security-admission/tree/v0.36.3/policy
#     description: The checks of Kubernetes 1.36 in source
# custom:
#   id: workload.pod-security
#   scope: resource
#   severity: high
#   remediation: |
#     Change the fields that the finding names. What `restricted` asks of a Linux pod:
#         spec:
#           securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
#           containers:
#           - name: app        # the same for initContainers
#             securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
#     and no hostNetwork, hostPID, hostIPC, hostPort, hostPath or privileged. A namespace that needs more, such as one of
#     storage or network drivers, gets its level, by review, in guardian.yaml:
#     `controls: {workload.pod-security: {params: {namespaces: {kube-system: privileged, logging: baseline}}}}`.
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
#     nist-800-53r5: [AC-6, CM-6]
#     iso-27001-2022: [A.8.9]
#   stages: [audit, admission]
#   uses: []
package guardian.workload.pod_security

import future.keywords.not

import data.guardian.lib.outcome
import data.guardian.lib.pod_security_standard as standard
import data.guardian.lib.workload

# Without an id no finding could be made, and nothing found would be a pass.
id := input.resource.id if {
	is_string(input.resource.id)
} else := ""

findings contains finding if {
	finding := verdict
	finding.verdict != "pass"
}

verdict := outcome.error(id, "the level asked for is not known: it must be privileged, baseline or restricted") if {
	not level in {"privileged", "baseline", "restricted"}
} else := outcome.skip(id, "the level asked for here is privileged, which forbids nothing") if {
	level == "privileged"
} else := outcome.fail(id, workload.crowd(spec), {"most": workload.most}, null) if {
	is_string(workload.crowd(spec))
} else := outcome.fail(id, workload.crowd_within(pod), null, null) if {
	is_string(workload.crowd_within(pod))
} else := outcome.fail(id, message, {"level": level, "version": standard.version}, observed) if {
	count(broken) > 0
	observed := sort([shown(entry) | some entry in named])
	message := concat("", [
		"breaks the Pod Security Standard ",
		level,
		": ",
		concat("; ", [told(check) | some check in sort({entry[0] | some entry in named})]),
		outcome.rest(count(broken)),
	])
} else := outcome.proved if {
	count(broken) == 0
	complete
} else := outcome.unknown(id)

# The level of the namespace if it has one of its own, else that of the tier.
level := input.params.namespaces[namespace] if {
	is_string(namespace)
} else := input.params.level if {
	is_string(namespace)
}

namespace := input.resource.scope.namespace

restricted if level == "restricted"

pod := workload.pod(input.resource)

spec := pod.spec

pod_context := context(spec)

# Every container: its place (list, index and name), itself, and its security context.
subjects := [[[group, index, name], container, security] |
	some [group, index, container] in workload.containers(spec)
	security := context(container)
	name := object.get(container, "name", null)
]

# The pod itself and its containers, with their security contexts.
contexts := array.concat([[null, pod_context]], [[place, security] | some [place, _, security] in subjects])

# context(parent) is its security context; absent and null are empty. Undefined where it is no object.
context(parent) := parent.securityContext if {
	is_object(parent.securityContext)
} else := {} if {
	object.get(parent, "securityContext", null) == null
}

# Everything that the checks below look through has the form in which they find all there is.
complete if {
	workload.complete(spec)
	count(subjects) == count(workload.containers(spec))
	is_object(pod_context)
	workload.optional_objects(pod_context, "sysctls")
	workload.optional_objects(spec, "volumes")
	annotations
	every subject in subjects {
		workload.optional_objects(subject[1], "ports")
	}
}

annotations := pod.metadata.annotations if {
	is_object(pod.metadata.annotations)
} else := {} if {
	object.get(pod, ["metadata", "annotations"], null) == null
}

user_namespace if spec.hostUsers == false

windows if spec.os.name == "windows"

# What breaks the standard: [check, place of the container or null, field below the container or the pod, value]. A check is
# written as `not right`, so that a value of an unexpected form breaks it.

broken contains ["hostNamespaces", null, concat(".", ["spec", field]), spec[field]] if {
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	not unset(object.get(spec, field, null))
}

broken contains ["privileged", place, "securityContext.privileged", security.privileged] if {
	some [place, _, security] in subjects
	not unset(object.get(security, "privileged", null))
}

broken contains ["windowsHostProcess", place, field, value] if {
	some [place, security] in contexts
	not unset(inner(security, "windowsOptions", "hostProcess"))
	field := security_field(place, "windowsOptions.hostProcess")
	value := object.get(security, ["windowsOptions", "hostProcess"], null)
}

broken contains ["capabilities_baseline", place, "securityContext.capabilities.add", value] if {
	not restricted
	some [place, _, security] in subjects
	not adds_only(security, standard.default_capabilities)
	value := object.get(security, ["capabilities", "add"], null)
}

broken contains ["hostPathVolumes", null, field, volume.name] if {
	some index, volume in spec.volumes
	object.get(volume, "hostPath", null) != null
	field := volume_field(index, ".hostPath")
}

broken contains ["hostPorts", place, field, port.hostPort] if {
	some [place, container, _] in subjects
	some index, port in container.ports
	not without_host_port(port)
	field := concat("", ["ports[", format_int(index, 10), "].hostPort"])
}

broken contains ["hostProbesAndHostLifecycle", place, concat(".", path), value] if {
	some [place, container, _] in subjects
	some path in standard.host_fields
	value := object.get(container, path, "")
	not value in {"", null}
}

broken contains ["appArmorProfile", place, field, value] if {
	some [place, security] in contexts
	not profile_allowed(security, "appArmorProfile")
	field := security_field(place, "appArmorProfile.type")
	value := object.get(security, ["appArmorProfile", "type"], null)
}

broken contains finding if {
	some key, value in annotations
	startswith(key, workload.app_armor_annotation)
	not app_armor_value_allowed(value)
	finding := annotated(key, value)
}

broken contains ["seLinuxOptions", place, field, value] if {
	some [place, security] in contexts
	some option, allowed in standard.selinux_allowed
	not inner(security, "seLinuxOptions", option) in allowed
	field := security_field(place, concat(".", ["seLinuxOptions", option]))
	value := object.get(security, ["seLinuxOptions", option], null)
}

broken contains ["procMount", place, "securityContext.procMount", security.procMount] if {
	not user_namespace_suffices
	some [place, _, security] in subjects
	not object.get(security, "procMount", null) in {null, "Default"}
}

broken contains ["seccompProfile", place, field, value] if {
	not exempt_from_restricted
	some [place, security] in contexts
	not profile_allowed(security, "seccompProfile")
	field := security_field(place, "seccompProfile.type")
	value := object.get(security, ["seccompProfile", "type"], null)
}

broken contains ["sysctls", null, field, name] if {
	some index, sysctl in pod_context.sysctls
	not sysctl.name in standard.safe_sysctls
	field := concat("", ["spec.securityContext.sysctls[", format_int(index, 10), "].name"])
	name := object.get(sysctl, "name", null)
}

# What only `restricted` asks.

broken contains ["restrictedVolumes", null, volume_field(index, ""), types] if {
	restricted
	some index, volume in spec.volumes
	types := sort([type | some type, source in volume; type != "name"; source != null])
	not every_type_allowed(volume, types)
}

broken contains ["allowPrivilegeEscalation", place, "securityContext.allowPrivilegeEscalation", value] if {
	restricted
	not windows
	some [place, _, security] in subjects
	value := object.get(security, "allowPrivilegeEscalation", null)
	value != false
}

broken contains ["capabilities_restricted", place, "securityContext.capabilities.drop", value] if {
	restricted
	not windows
	some [place, _, security] in subjects
	not "ALL" in inner(security, "capabilities", "drop")
	value := object.get(security, ["capabilities", "drop"], null)
}

broken contains ["capabilities_restricted", place, "securityContext.capabilities.add", value] if {
	restricted
	not windows
	some [place, _, security] in subjects
	not adds_only(security, {"NET_BIND_SERVICE"})
	value := object.get(security, ["capabilities", "add"], null)
}

broken contains ["seccompProfile", place, "securityContext.seccompProfile.type", null] if {
	restricted
	not windows
	object.get(pod_context, "seccompProfile", null) == null
	some [place, _, security] in subjects
	object.get(security, "seccompProfile", null) == null
}

broken contains ["runAsNonRoot", place, field, value] if {
	restricted
	not user_namespace
	some [place, security] in contexts
	value := object.get(security, "runAsNonRoot", null)
	not non_root(place, value)
	field := security_field(place, "runAsNonRoot")
}

broken contains ["runAsUser", place, field, value] if {
	restricted
	not user_namespace
	some [place, security] in contexts
	value := object.get(security, "runAsUser", null)
	not other_than_root(value)
	field := security_field(place, "runAsUser")
}

unset(value) if value in {null, false}

# inner(parent, key, name) is parent[key][name], null where either is absent. Undefined where parent[key] is no object.
inner(parent, key, name) := object.get(parent[key], name, null) if {
	is_object(parent[key])
} else := null if {
	object.get(parent, key, null) == null
}

adds_only(security, allowed) if {
	added := added_capabilities(security)
	is_array(added)
	every capability in added {
		capability in allowed
	}
}

added_capabilities(security) := [] if {
	inner(security, "capabilities", "add") == null
} else := security.capabilities.add

without_host_port(port) if object.get(port, "hostPort", null) in {null, 0}

# In the network of the host, which is what has to change, the API server fills in every port of a Pod.
without_host_port(port) if {
	spec.hostNetwork == true
	port.hostPort == port.containerPort
}

profile_allowed(security, key) if object.get(security, key, null) == null

profile_allowed(security, key) if security[key].type in {"RuntimeDefault", "Localhost"}

app_armor_value_allowed(value) if value in {null, "", "runtime/default"}

app_armor_value_allowed(value) if startswith(value, "localhost/")

# The API server copies this annotation of a Pod to the field of its container, so both are told as the field.
annotated(key, value) := ["appArmorProfile", places[0], "securityContext.appArmorProfile.type", "Unconfined"] if {
	value == "unconfined"
	places := [place |
		some [place, _, security] in subjects
		place[2] == trim_prefix(key, workload.app_armor_annotation)
		object.get(security, ["appArmorProfile", "type"], "Unconfined") == "Unconfined"
	]
	count(places) > 0
} else := ["appArmorProfile", null, concat("", ["metadata.annotations[", key, "]"]), value]

user_namespace_suffices if {
	user_namespace
	not restricted
}

exempt_from_restricted if {
	restricted
	windows
}

# A volume without a source is an emptyDir: the API server fills it in.
every_type_allowed(volume, types) if {
	is_object(volume)
	every type in types {
		type in standard.volume_types
	}
}

# The pod may leave it to its containers, and a container to the pod, which is judged by itself.
non_root(_, true)

non_root(null, null)

non_root(place, null) if {
	place != null
	object.get(pod_context, "runAsNonRoot", null) != null
}

other_than_root(null)

other_than_root(value) if {
	is_number(value)
	value != 0
}

security_field(place, field) := concat("", ["spec.securityContext.", field]) if {
	place == null
} else := concat("", ["securityContext.", field])

volume_field(index, rest) := concat("", ["spec.volumes[", format_int(index, 10), "]", rest])

named := outcome.first(sort(broken))

shown([check, place, field, value]) := {
	"check": check,
	"container": container_name(place),
	"field": full(place, field),
	"value": value,
}

container_name(place) := place[2] if {
	place != null
} else := null

full(place, field) := concat("", [within, field]) if {
	place == null
} else := concat(".", [workload.path(within, place), field])

within := workload.within(input.resource.kind)

told(check) := concat("", [standard.must[check], " (", concat(", ", sort(places)), ")"]) if {
	places := {text | some [check_found, place, field, _] in named; check_found == check; text := where(place, field)}
}

where(place, field) := concat("", ["container ", place[2], " ", full(place, field)]) if {
	is_string(place[2])
} else := full(place, field)
