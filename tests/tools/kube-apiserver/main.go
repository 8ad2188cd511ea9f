// Command kube-apiserver is the Kubernetes API server built from its Go module, at the version that go.mod pins and
// go.sum checks. Only tests and `make demo-cluster` run it.
package main

import (
	"os"
	_ "time/tzdata" // time zones of CronJobs are checked, also where the system has no zone files

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
