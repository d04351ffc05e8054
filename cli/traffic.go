package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
)

// RouterCommands returns the commands for users that stand below `dinp router`,
// which is also the part's own command.
func RouterCommands() []*cobra.Command { return []*cobra.Command{newConsole().topCommand()} }

// topRows bounds the apps on a terminal.
const topRows = 40

func (c *console) topCommand() *cobra.Command {
	var once bool
	var every time.Duration
	cmd := c.command(spec{use: "top [APP]", short: "Show the live requests per app: rate, latencies, failures",
		long: `Show the apps with requests in the last minute, the busiest first, over all routers: requests per second, how many are
served at a time on average, latencies, and how many were answered 5xx. With an app, show its releases. It is shown
anew every two seconds until Ctrl-C; once with --once or --json, or when nobody looks at a terminal.`,
		example: "  dinp router top\n  dinp router top shop --once\n  dinp router top --json",
		args:    cobra.MaximumNArgs(1), complete: appThen(), list: true,
		run: func(ctx context.Context, s *session, args []string) error {
			if once || s.json || !isTerminal(s.out) {
				return s.top(ctx, args)
			}
			return s.topAgain(ctx, args, every)
		}})
	cmd.Flags().BoolVar(&once, "once", false, "show it once")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "how often it is shown anew")
	return cmd
}

// topAgain shows the traffic until ctx ends.
func (s *session) topAgain(ctx context.Context, args []string, every time.Duration) error {
	tick := time.NewTicker(max(every, 100*time.Millisecond))
	defer tick.Stop()
	for {
		fmt.Fprintf(s.out, "\x1b[H\x1b[2J%s\n", time.Now().Format("15:04:05"))
		if err := s.top(ctx, args); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *session) top(ctx context.Context, args []string) error {
	if len(args) == 1 {
		return s.topOf(ctx, args[0])
	}
	p, err := get[api.Page[api.Traffic]](ctx, s.api, "/traffic")
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, p)
	}
	slices.SortStableFunc(p.Items, func(a, b api.Traffic) int { return cmp.Compare(b.PerSecond, a.PerSecond) })
	rows := make([][]string, 0, len(p.Items))
	for _, t := range p.Items[:min(len(p.Items), topRows)] {
		rows = append(rows, append([]string{cmp.Or(t.App, "(no app)"), countedReleases(t.Releases)}, rateCells(t.Rates)...))
	}
	if err := table(s.out, append([]string{"APP", "RELEASES"}, rateHead...), rows); err != nil {
		return err
	}
	if more := len(p.Items) - len(rows); more > 0 {
		fmt.Fprintf(s.out, "… and %d more; --json has all\n", more)
	}
	return nil
}

// topOf shows the releases of one app.
func (s *session) topOf(ctx context.Context, app string) error {
	if err := appArg(app); err != nil {
		return err
	}
	t, err := get[api.Traffic](ctx, s.api, at("apps", app, "metrics"))
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, t)
	}
	rows := [][]string{append([]string{"all"}, rateCells(t.Rates)...)}
	for _, r := range t.Releases {
		rows = append(rows, append([]string{countedReleases([]api.ReleaseTraffic{r})}, rateCells(r.Rates)...))
	}
	return table(s.out, append([]string{"RELEASE"}, rateHead...), rows)
}

var rateHead = []string{"REQ/S", "AT ONCE", "P50", "P95", "P99", "FAILED"}

func rateCells(r api.Rates) []string {
	ms := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + " ms" }
	failed := strconv.FormatUint(r.Failed, 10)
	if r.Failed > 0 && r.Requests > 0 {
		failed += fmt.Sprintf(" (%.2f%%)", 100*float64(r.Failed)/float64(r.Requests))
	}
	return []string{strconv.FormatFloat(r.PerSecond, 'f', 1, 64), strconv.FormatFloat(r.AtOnce, 'f', 1, 64), ms(r.P50), ms(r.P95), ms(r.P99), failed}
}

// countedReleases names releases; what was answered before an instance was chosen has none.
func countedReleases(releases []api.ReleaseTraffic) string {
	var out []string
	for _, r := range releases {
		if r.Release > 0 {
			out = append(out, "v"+strconv.Itoa(r.Release))
		}
	}
	return strings.Join(out, " ")
}
