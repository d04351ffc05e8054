package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) releaseCommands() []*cobra.Command {
	return []*cobra.Command{
		c.command(spec{use: "releases APP", short: "List an app's releases, newest first", example: "  dinp releases shop", args: cobra.ExactArgs(1),
			complete: appOnly, list: true, run: listReleases}),
		c.rollbackCommand(),
		c.promoteCommand(),
	}
}

func listReleases(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	p, err := get[api.Page[api.Release]](ctx, s.api, at("apps", args[0], "releases"))
	if err != nil {
		return err
	}
	return show(s, p.Items, []string{"RELEASE", "STATE", "KEPT", "CAUSE", "RUNTIME", "MEMORY", "BY", "AT", "NOTE"}, func(r api.Release) []string {
		return []string{r.Version, releaseState(r), kept(r), r.Cause, r.Runtime, memory(r.MemoryMiB), r.CreatedBy, when(r.CreatedAt), r.Note}
	})
}

func releaseState(r api.Release) string {
	switch {
	case r.Serving && r.Wanted:
		return "serving"
	case r.Serving:
		return "serving, not wanted"
	case r.Deployment == nil:
		return "waiting"
	}
	return r.Deployment.Status
}

// kept says what retention does with a release.
func kept(r api.Release) string {
	switch {
	case r.Pinned:
		return "for ever"
	case r.Removed:
		return "image gone"
	}
	return ""
}

func (c *console) rollbackCommand() *cobra.Command {
	var w waitFlags
	var note string
	cmd := c.command(spec{use: "rollback APP [vN]", short: "Go back to an earlier release",
		long:    "Go back to an earlier release, or to the last one that served before the wanted one.\nNothing is built: a rollback is a new release with an old one's content.",
		example: "  dinp rollback shop\n  dinp rollback shop v3 --note 'checkout is broken'", args: cobra.RangeArgs(1, 2), complete: appThenRelease,
		run: func(ctx context.Context, s *session, args []string) error {
			r := api.Rollback{Note: note}
			if len(args) == 2 {
				n, err := model.ParseVersion(args[1])
				if err != nil {
					return err
				}
				r.Version = model.Release{Number: n}.Version()
			}
			return s.roll(ctx, http.MethodPost, "rollback", args[0], r, w)
		}})
	w.add(cmd)
	cmd.Flags().StringVar(&note, "note", "", "why")
	return cmd
}

func (c *console) promoteCommand() *cobra.Command {
	var w waitFlags
	cmd := c.command(spec{use: "promote APP [vN]", short: "Let a canary or bluegreen release take over at once",
		long:    "Let the release that is on its way by steps take over without waiting and judging any more.\nIt still has to become ready. To take it back instead: dinp rollback APP.",
		example: "  dinp promote shop\n  dinp promote shop v7   # refused unless v7 is the one on its way", args: cobra.RangeArgs(1, 2), complete: appThenRelease,
		run: func(ctx context.Context, s *session, args []string) error {
			var p api.Promote
			if len(args) == 2 {
				n, err := model.ParseVersion(args[1])
				if err != nil {
					return err
				}
				p.Version = model.Release{Number: n}.Version()
			}
			return s.roll(ctx, http.MethodPost, "promote", args[0], p, w)
		}})
	w.add(cmd)
	return cmd
}
