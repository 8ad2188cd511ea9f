# METADATA
# scope: package
# title: Rules that Kubernetes ships and that no other role may have
# description: |
#   By role (`ClusterRole:name`), the rules of the roles that Kubernetes 1.36 makes itself which rbac.wildcard would refuse,
#   each member a set because order says nothing. `admin` and `edit` are aggregated: they hold what
#   system:aggregate-to-edit holds. Also, by name, whom a role is bound to as it ships, in the words of rbac.cluster-admin,
#   but for cluster-admin itself, whose subjects are a parameter. Source: k8s.io/kubernetes v1.36.3, plugin/pkg/auth/authorizer/rbac/bootstrappolicy.
package guardian.lib.shipped_roles

edits := {
	{
		"apiGroups": {""},
		"resources": {"pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"},
		"verbs": {"get", "list", "watch"},
	},
	{"apiGroups": {""}, "resources": {"serviceaccounts"}, "verbs": {"impersonate"}},
	{
		"apiGroups": {""},
		"resources": {"pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"},
		"verbs": {"create", "delete", "deletecollection", "patch", "update"},
	},
	{"apiGroups": {""}, "resources": {"serviceaccounts/token"}, "verbs": {"create"}},
	{
		"apiGroups": {""},
		"resources": {
			"configmaps",
			"persistentvolumeclaims",
			"replicationcontrollers",
			"replicationcontrollers/scale",
			"secrets",
			"serviceaccounts",
			"services",
			"services/proxy",
		},
		"verbs": {"create", "delete", "deletecollection", "patch", "update"},
	},
}

rules := {
	"ClusterRole:admin": edits,
	"ClusterRole:edit": edits,
	"ClusterRole:cluster-admin": {
		{"apiGroups": {"*"}, "resources": {"*"}, "verbs": {"*"}},
		{"nonResourceURLs": {"*"}, "verbs": {"*"}},
	},
	"ClusterRole:system:aggregate-to-edit": edits,
	"ClusterRole:system:controller:certificate-controller": {
		{
			"apiGroups": {"certificates.k8s.io"},
			"resources": {"certificatesigningrequests/approval", "certificatesigningrequests/status"},
			"verbs": {"update"},
		},
	},
	"ClusterRole:system:controller:clusterrole-aggregation-controller": {
		{
			"apiGroups": {"rbac.authorization.k8s.io"},
			"resources": {"clusterroles"},
			"verbs": {"escalate", "get", "list", "patch", "update", "watch"},
		},
	},
	"ClusterRole:system:controller:disruption-controller": {
		{"apiGroups": {"*"}, "resources": {"*/scale"}, "verbs": {"get"}},
	},
	"ClusterRole:system:controller:generic-garbage-collector": {
		{"apiGroups": {"*"}, "resources": {"*"}, "verbs": {"delete", "get", "list", "patch", "update", "watch"}},
	},
	"ClusterRole:system:controller:horizontal-pod-autoscaler": {
		{"apiGroups": {"*"}, "resources": {"*/scale"}, "verbs": {"get", "update"}},
		{"apiGroups": {"custom.metrics.k8s.io"}, "resources": {"*"}, "verbs": {"get", "list", "watch"}},
		{"apiGroups": {"external.metrics.k8s.io"}, "resources": {"*"}, "verbs": {"get", "list", "watch"}},
	},
	"ClusterRole:system:controller:namespace-controller": {
		{"apiGroups": {"*"}, "resources": {"*"}, "verbs": {"delete", "deletecollection", "get", "list", "watch"}},
	},
	"ClusterRole:system:controller:resourcequota-controller": {
		{"apiGroups": {"*"}, "resources": {"*"}, "verbs": {"list", "watch"}},
	},
	"ClusterRole:system:kube-controller-manager": {
		{
			"apiGroups": {""},
			"resources": {"configmaps", "namespaces", "secrets", "serviceaccounts"},
			"verbs": {"get"},
		},
		{"apiGroups": {"*"}, "resources": {"*"}, "verbs": {"list", "watch"}},
		{"apiGroups": {""}, "resources": {"serviceaccounts/token"}, "verbs": {"create"}},
	},
	"ClusterRole:system:kubelet-api-admin": {
		{
			"apiGroups": {""},
			"resources": {"nodes/log", "nodes/metrics", "nodes/proxy", "nodes/stats"},
			"verbs": {"*"},
		},
		{"apiGroups": {""}, "resources": {"nodes/configz", "nodes/healthz", "nodes/pods"}, "verbs": {"*"}},
	},
	"ClusterRole:system:node": {
		{"apiGroups": {""}, "resources": {"configmaps", "secrets"}, "verbs": {"get", "list", "watch"}},
		{"apiGroups": {""}, "resources": {"serviceaccounts/token"}, "verbs": {"create"}},
	},
}

subjects := {
	"system:controller:certificate-controller": {"ServiceAccount:kube-system/certificate-controller"},
	"system:controller:clusterrole-aggregation-controller": {"ServiceAccount:kube-system/clusterrole-aggregation-controller"},
	"system:controller:disruption-controller": {"ServiceAccount:kube-system/disruption-controller"},
	"system:controller:generic-garbage-collector": {"ServiceAccount:kube-system/generic-garbage-collector"},
	"system:controller:horizontal-pod-autoscaler": {"ServiceAccount:kube-system/horizontal-pod-autoscaler"},
	"system:controller:namespace-controller": {"ServiceAccount:kube-system/namespace-controller"},
	"system:controller:resourcequota-controller": {"ServiceAccount:kube-system/resourcequota-controller"},
	"system:kube-controller-manager": {"User:system:kube-controller-manager"},
}
