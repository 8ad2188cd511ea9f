# METADATA
# scope: package
# title: What the Pod Security Standards of Kubernetes 1.36 allow
# description: |
#   The lists of the standard, and its checks in words, under the names of the checks upstream.
# related_resources:
#   - ref: https://github.com/kubernetes/pod-security-admission/tree/v0.36.3/policy
#     description: The checks of Kubernetes 1.36 in source
package guardian.lib.pod_security_standard

version := "1.36"

default_capabilities := {
	"AUDIT_WRITE",
	"CHOWN",
	"DAC_OVERRIDE",
	"FOWNER",
	"FSETID",
	"KILL",
	"MKNOD",
	"NET_BIND_SERVICE",
	"SETFCAP",
	"SETGID",
	"SETPCAP",
	"SETUID",
	"SYS_CHROOT",
}

safe_sysctls := {
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
}

volume_types := {
	"configMap",
	"csi",
	"downwardAPI",
	"emptyDir",
	"ephemeral",
	"image",
	"persistentVolumeClaim",
	"projected",
	"secret",
}

selinux_allowed := {
	"type": {null, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"},
	"user": {null, ""},
	"role": {null, ""},
}

# Where a probe or lifecycle handler can name a host.
host_fields := [array.concat(handler, [action, "host"]) |
	some handler in [
		["livenessProbe"],
		["readinessProbe"],
		["startupProbe"],
		["lifecycle", "postStart"],
		["lifecycle", "preStop"],
	]
	some action in ["httpGet", "tcpSocket"]
]

# The checks for people.
must := {
	"allowPrivilegeEscalation": "allowPrivilegeEscalation must be false",
	"appArmorProfile": "the AppArmor profile must be RuntimeDefault or Localhost, or not be set",
	"capabilities_baseline": "capabilities.add may name only those that containers have by default",
	"capabilities_restricted": "capabilities.drop must hold ALL, and capabilities.add nothing but NET_BIND_SERVICE",
	"hostNamespaces": "hostNetwork, hostPID and hostIPC must be false",
	"hostPathVolumes": "volumes must not be hostPath",
	"hostPorts": "hostPort must not be set",
	"hostProbesAndHostLifecycle": "probes and lifecycle handlers must not name a host",
	"privileged": "privileged must be false",
	"procMount": "procMount must be Default",
	"restrictedVolumes": "volumes must be configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret",
	"runAsNonRoot": "runAsNonRoot must be true",
	"runAsUser": "runAsUser must not be 0",
	"seLinuxOptions": "seLinuxOptions must not set user or role, nor a type but container_t, container_init_t, container_kvm_t or container_engine_t",
	"seccompProfile": "seccompProfile.type must be RuntimeDefault or Localhost",
	"sysctls": "sysctls must be those that Kubernetes calls safe",
	"windowsHostProcess": "windowsOptions.hostProcess must be false",
}
