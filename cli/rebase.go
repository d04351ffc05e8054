package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// rebasePeriod is the time between two looks at a rebase.
const rebasePeriod = time.Second

func (c *console) rebasesCommand() *cobra.Command {
	return c.command(spec{use: "rebases", short: "List rebases, newest first", example: "  dinp rebases", args: cobra.NoArgs, list: true,
		run: func(ctx context.Context, s *session, _ []string) error {
			p, err := get[api.Page[api.Rebase]](ctx, s.api, "/rebases?limit=50")
			if err != nil {
				return err
			}
			return show(s, p.Items, []string{"ID", "RUNTIME", "STATUS", "APPS", "BY", "AT", "STOPPED AT"}, func(r api.Rebase) []string {
				return []string{r.ID, r.Runtime, r.Status, fmt.Sprintf("%d of %d", endedApps(r), len(r.Apps)), r.By, when(r.CreatedAt), regressed(r)}
			})
		}})
}

// endedApps counts the apps of a rebase to which nothing more happens.
func endedApps(r api.Rebase) (n int) {
	for _, a := range r.Apps {
		if model.RebaseStep(a.Step).Ended() {
			n++
		}
	}
	return n
}

// regressed is the app that did not come up; "" for none.
func regressed(r api.Rebase) string {
	for _, a := range r.Apps {
		if a.Step == string(model.StepFailed) {
			return a.App
		}
	}
	return ""
}

func (c *console) rebaseCommand() *cobra.Command {
	var in api.NewRebase
	var noWait bool
	var stop string
	cmd := c.command(spec{use: "rebase RUNTIME", short: "Rebuild apps on the newest base image of their runtime",
		long: "Rebuild apps on the newest base image of their runtime, from their stored artifacts, and roll them a few at a time\n" +
			"through the same health-gated rollout as any deploy. It stops at the first app that does not come up; that one keeps\nserving on the old base. " +
			"The platform carries it on, also when this command ends; given again, it goes on with what is left.",
		example: "  dinp rebase tomcat --dry-run\n  dinp rebase tomcat --app shop\n  dinp rebase tomcat --batch 5\n  dinp rebase tomcat --stop 0b5e", args: cobra.ExactArgs(1), list: true,
		run: func(ctx context.Context, s *session, args []string) error {
			if stop != "" {
				out, err := send[api.Rebase](ctx, s.api, http.MethodPost, at("rebases", stop, "stop"), nil)
				if err != nil {
					return err
				}
				return s.printRebase(out)
			}
			in.Runtime = args[0]
			out, err := send[api.Rebase](ctx, s.api, http.MethodPost, "/rebases", in)
			if err != nil {
				return err
			}
			return s.followRebase(ctx, out, noWait)
		}})
	f := cmd.Flags()
	f.StringVar(&in.App, "app", "", "only this app")
	f.BoolVar(&in.DryRun, "dry-run", false, "only tell what would be rebuilt")
	f.BoolVar(&in.All, "all", false, "apps that seem to be on the newest base, too")
	f.IntVar(&in.Batch, "batch", 0, "apps under way at a time (default 3)")
	f.BoolVar(&noWait, "no-wait", false, "do not wait: print the rebase's ID and return")
	f.StringVar(&stop, "stop", "", "begin no more apps of the rebase with this ID")
	return cmd
}

// followRebase prints how the apps go on until the rebase has ended.
func (s *session) followRebase(ctx context.Context, r api.Rebase, noWait bool) error {
	if r.ID == "" {
		return s.printRebase(r)
	}
	if noWait {
		_, err := fmt.Fprintln(s.out, r.ID)
		return err
	}
	fmt.Fprintf(s.err, "rebase %s of %s: %d apps, %d at a time\n", r.ID, r.Runtime, len(r.Apps), r.Batch)
	told := map[string]string{}
	for {
		for _, a := range r.Apps {
			if a.Step != told[a.App] && a.Step != string(model.StepWaiting) {
				fmt.Fprintf(s.err, "  %s: %s %s\n", clean(a.App), clean(a.Step), clean(a.Note))
			}
			told[a.App] = a.Step
		}
		if r.Status != string(model.RebaseRunning) {
			break
		}
		select {
		case <-ctx.Done():
			fmt.Fprintf(s.err, "it goes on; watch it with: dinp rebase %s, or dinp rebases\n", r.Runtime)
			return ctx.Err()
		case <-time.After(rebasePeriod):
		}
		var err error
		if r, err = get[api.Rebase](ctx, s.api, at("rebases", r.ID)); err != nil {
			return err
		}
	}
	if r.Error != nil {
		return r.Error
	}
	return s.printRebase(r)
}

func (s *session) printRebase(r api.Rebase) error {
	if s.json {
		return printJSON(s.out, r)
	}
	if len(r.Apps) == 0 {
		fmt.Fprintf(s.err, "no app runs an artifact on %s\n", clean(r.Runtime))
		return nil
	}
	return show(s, r.Apps, []string{"APP", "RELEASE", "STEP", "FROM", "TO", "NOTE"}, func(a api.RebaseApp) []string {
		return []string{a.App, a.Release, a.Step, digestHead(a.From), digestHead(a.To), a.Note}
	})
}

// digestHead is the beginning of a digest.
func digestHead(digest string) string {
	if len(digest) > len("sha256:")+12 {
		return digest[:len("sha256:")+12]
	}
	return digest
}
