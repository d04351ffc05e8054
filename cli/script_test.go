package cli

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// TestMain lets the scripts run this binary as dinp, with real exit codes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dinp": func() {
		root := &cobra.Command{Use: "dinp", Version: "0.0.0-test"}
		root.AddCommand(Commands()...)
		router := &cobra.Command{Use: "router"}
		router.AddCommand(RouterCommands()...)
		root.AddCommand(router)
		os.Exit(Execute(context.Background(), root))
	}})
}

// TestScripts runs what a person would type against a fake server.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			f := newFake(t)
			f.nextRelease(f.add("blog"))
			e.Setenv("URL", f.URL)
			e.Setenv("DINP_HOME", e.WorkDir+"/home")
			e.Setenv("TZ", "UTC")
			return SaveContext(e.WorkDir+"/home", "test", f.URL, "secret", "admin")
		},
	})
}
