package cli

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/dinp/dinp/common/model"
)

// console is the surroundings of an invocation that tests replace.
type console struct {
	getenv func(string) string
	key    func() string // a new Idempotency-Key
	pause  time.Duration // before the first retry; doubled for each further one
	poll   time.Duration // between two looks at something that cannot be streamed
}

func newConsole() *console {
	return &console{getenv: os.Getenv, key: rand.Text, pause: 250 * time.Millisecond, poll: 500 * time.Millisecond}
}

// session is one running command: where it reads and writes, and the client
// it talks through (nil for commands that need no server).
type session struct {
	*console
	cmd  *cobra.Command
	in   io.Reader
	out  io.Writer // results
	err  io.Writer // progress
	api  *client
	json bool // --json was given
}

// Commands returns the client's commands, for cmd/dinp to add to its root.
func Commands() []*cobra.Command { return newConsole().commands() }

func (c *console) commands() []*cobra.Command {
	groups := [][]*cobra.Command{
		c.deployCommands(), c.appCommands(), c.stateCommands(), c.placeCommands(), c.releaseCommands(), {c.envCommand(), c.routingCommand(), c.logsCommand(), c.eventsCommand()},
		c.buildCommands(), c.collectCommands(), c.nodeCommands(), c.accountCommands(), c.loginCommands(),
	}
	var all []*cobra.Command
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// spec is what makes one command; run gets a session that is ready to use.
type spec struct {
	use, short, long, example string
	args                      cobra.PositionalArgs
	complete                  completion
	list                      bool // takes --json
	local                     bool // needs no server
	run                       func(ctx context.Context, s *session, args []string) error
}

func (c *console) command(d spec) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: d.use, Short: d.short, Long: d.long, Example: d.example, Args: d.args,
		SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
		ValidArgsFunction: c.completer(d.complete),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := &session{console: c, cmd: cmd, in: cmd.InOrStdin(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: asJSON}
			if !d.local {
				api, err := c.open()
				if err != nil {
					return err
				}
				s.api = api
			}
			return d.run(cmd.Context(), s, args)
		},
	}
	if d.list {
		cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	}
	return cmd
}

// isTerminal reports whether a person looks at w: only then are progress bars
// drawn and questions asked.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// sleep waits for d or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// appArg checks an app's name here, where a typing error costs no round trip
// and can never become part of another path.
func appArg(name string) error { return model.CheckAppName(name) }
