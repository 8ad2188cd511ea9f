# METADATA
# scope: package
# title: Pods and Services as the network sees them
# description: |
#   What is read of a pod, of a workload's pod template and of a Service, whether a server filled in its defaults or not.
#   Every function is undefined for what is not well formed, which a caller must treat as unknown. Only TCP counts here.
package guardian.lib.endpoint

import future.keywords.not

import data.guardian.lib.selector

# place(resource) is where a name is unique and labels meet selectors: cluster and namespace.
place(resource) := [resource.scope.cluster, resource.scope.namespace] if {
	is_string(resource.scope.cluster)
	is_string(resource.scope.namespace)
	resource.scope.namespace != ""
}

template(workload) := workload.attributes if {
	workload.kind == "k8s.core.Pod"
} else := workload.attributes.spec.template

# pods(workload): place, labels and service of its pods; their ports as pairs of name ("" without one) and number; whether
# they use the host's network, and which ports they take on the host.
pods(workload) := {
	"place": place(workload),
	"labels": selector.labels(metadata),
	"service": workload.service,
	"ports": {[port_name(port), port.containerPort] | some port in ports},
	"hostNetwork": flag(spec, "hostNetwork"),
	"hostPorts": {port.containerPort | some port in ports; not object.get(port, "hostPort", null) in {null, 0}},
} if {
	spec := template(workload).spec
	metadata := object.get(template(workload), "metadata", {})
	count(spec.containers) > 0
	containers := array.concat(spec.containers, listed(spec, "initContainers"))
	every container in containers { well_formed_container(container) }
	ports := [port | some container in containers; some port in listed(container, "ports"); tcp(port)]
}

well_formed_container(container) if {
	is_object(container)
	is_array(listed(container, "ports"))
	every port in listed(container, "ports") {
		is_number(port.containerPort)
		is_string(port_name(port))
		is_boolean(tcp_or_not(port))
	}
}

port_name(port) := "" if {
	object.get(port, "name", null) == null
} else := port.name

flag(found, name) := false if {
	object.get(found, name, null) == null
} else := found[name] if {
	is_boolean(found[name])
}

tcp(port) if tcp_or_not(port) == true

tcp_or_not(port) if {
	object.get(port, "protocol", null) in {null, "TCP"}
} else := false if {
	port.protocol in {"UDP", "SCTP"}
}

# service(resource): place, name, selector, TCP ports as pairs of port and target, and how it is reached from outside the
# cluster (null where it is not).
service(resource) := {
	"place": place(resource),
	"name": resource.attributes.metadata.name,
	"selector": object.get(spec, "selector", null),
	"ports": {[port.port, target(port)] | some port in listed(spec, "ports"); tcp(port)},
	"outside": outside(spec),
} if {
	spec := resource.attributes.spec
	is_string(resource.attributes.metadata.name)
	well_selecting(object.get(spec, "selector", null))
	every port in listed(spec, "ports") {
		is_number(port.port)
		is_boolean(tcp_or_not(port))
		well_targeted(target(port))
	}
}

well_selecting(null)

well_selecting(labels) if selector.well_labelled(labels)

well_targeted(number) if is_number(number)

well_targeted(name) if is_string(name)

target(port) := port.port if {
	object.get(port, "targetPort", null) in {null, 0, ""}
} else := port.targetPort

outside(spec) := concat(" ", ["of type", spec.type]) if {
	spec.type in {"NodePort", "LoadBalancer"}
} else := "with externalIPs" if {
	count(listed(spec, "externalIPs")) > 0
} else := null if {
	object.get(spec, "type", null) in {null, "ClusterIP", "ExternalName"}
	listed(spec, "externalIPs") == []
}

# leads_to(service, pods): the Service selects the pods, and these ports of theirs are behind which of its own: pairs of
# its port and the pod's. A Service without a selector selects nothing.
leads_to(service, pods) := {[port, number] |
	some [port, to] in service.ports
	some number in resolved(to, pods.ports)
} if {
	service.place == pods.place
	count(service.selector) > 0
	every key, value in service.selector { pods.labels[key] == value }
} else := set()

resolved(to, ports) := {to} if {
	is_number(to)
	is_set(ports)
} else := {number | some [name, number] in ports; name == to}

listed(found, name) := [] if {
	object.get(found, name, null) == null
} else := found[name] if {
	is_array(found[name])
}
