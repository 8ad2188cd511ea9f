// Command opa is Open Policy Agent built from its Go module, at the version that go.mod pins and go.sum checks.
// The tests and `make check` run it; the product itself does not need it.
package main

import (
	"errors"
	"os"

	"github.com/open-policy-agent/opa/cmd"
)

func main() {
	err := cmd.RootCommand.Execute()
	if err == nil {
		return
	}
	var exit *cmd.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.Exit)
	}
	os.Exit(1)
}
