// Command etcd is etcd built from its Go module, at the version that go.mod pins and go.sum checks. The API server of
// the tests keeps its objects in it.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
