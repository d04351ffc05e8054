// Command dinp is the one binary of the platform: every part is a subcommand,
// `dinp up` is all of them in one process, and the rest is the command line for
// users. It only wires: flags, files, signals and exit codes are known here and
// nowhere else.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/cli"
)

// version is set by the linker; see the Makefile.
var version = ""

func main() {
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	return cli.Execute(ctx, root)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "dinp",
		Short: "The platform for prebuilt web artifacts",
		Long: `dinp takes a .war, .tar.gz or .zip, or the name of an image, and seconds later
the app answers on http://<app>.<domain>/ and stays up: through deploys, crashes,
lost hosts and the loss of the platform itself.`,
		Example:       "  dinp up                                # everything in one process\n  dinp deploy shop shop.war               # upload, build, roll out, print the URL\n  dinp logs shop -f",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddGroup(&cobra.Group{ID: "parts", Title: "Parts of the platform:"})
	for _, c := range partCommands() {
		c.GroupID = "parts"
		if c.Name() == "router" {
			c.AddCommand(cli.RouterCommands()...)
		}
		root.AddCommand(c)
	}
	root.AddCommand(cli.Commands()...)
	return root
}

// buildVersion is the linker's, or what the build information tells.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "dev"
}
