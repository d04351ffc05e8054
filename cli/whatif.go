package cli

import (
	"context"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
)

func (c *console) whatIfCommand() *cobra.Command {
	change := map[string]*string{"memory": new(string), "cpu": new(string), "instances": new(string), "strategy": new(string)}
	cmd := c.command(spec{use: "whatif drain NODE | lose NODE | lose-zone ZONE | add APP N | deploy APP", short: "Say what a change would bring, without making it",
		long: "Say what a change would bring, without making it: which instances would be placed where, which would find no room and why,\n" +
			"and how much room would be left. The platform's own planner answers, on a copy of what it knows.",
		example: "  dinp whatif drain web3\n  dinp whatif lose-zone b\n  dinp whatif add shop 40\n  dinp whatif deploy shop --memory 1G --instances 6\n  dinp whatif deploy shop --strategy bluegreen",
		args:    cobra.RangeArgs(2, 3), complete: whatIfWords, list: true,
		run: func(ctx context.Context, s *session, args []string) error {
			q, err := question(s, args)
			if err != nil {
				return err
			}
			for name, value := range change {
				if *value != "" && args[0] != "deploy" {
					return usage(s.cmd, fmt.Errorf("--%s is for: dinp whatif deploy APP", name))
				}
				if *value != "" {
					q.Set(name, *value)
				}
			}
			a, err := get[api.WhatIf](ctx, s.api, "/whatif?"+q.Encode())
			if err != nil {
				return err
			}
			return s.printWhatIf(a)
		}})
	cmd.Flags().StringVar(change["memory"], "memory", "", "of the release asked about, as 512M")
	cmd.Flags().StringVar(change["cpu"], "cpu", "", "cores of the release asked about, as 0.5")
	cmd.Flags().StringVar(change["instances"], "instances", "", "of the release asked about")
	cmd.Flags().StringVar(change["strategy"], "strategy", "", "by which the release asked about takes over: rolling, bluegreen or canary")
	return cmd
}

// question reads what is asked.
func question(s *session, args []string) (url.Values, error) {
	kind, subject := args[0], args[1]
	one := map[string]string{"drain": "drain", "lose": "lose", "lose-zone": "lose_zone", "deploy": "app"}
	if name, ok := one[kind]; ok && len(args) == 2 {
		return url.Values{name: {subject}}, nil
	}
	if kind == "add" && len(args) == 3 {
		if n, err := strconv.Atoi(args[2]); err != nil || n < 1 {
			return nil, usage(s.cmd, fmt.Errorf("the number of instances is %q", args[2]))
		}
		return url.Values{"app": {subject}, "add": {args[2]}}, nil
	}
	return nil, usage(s.cmd, fmt.Errorf("ask drain NODE, lose NODE, lose-zone ZONE, add APP N or deploy APP, not %q", strings.Join(args, " ")))
}

func whatIfWords(ctx context.Context, c *client, args []string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 0:
		return []string{"drain", "lose", "lose-zone", "add", "deploy"}, noFiles
	case len(args) == 1 && (args[0] == "add" || args[0] == "deploy"):
		return appNames(ctx, c), noFiles
	case len(args) == 1 && args[0] != "lose-zone":
		n, err := get[api.Nodes](ctx, c, "/nodes")
		if err != nil {
			return nil, noFiles
		}
		var names []string
		for _, v := range n.Items {
			names = append(names, v.Name)
		}
		return names, noFiles
	}
	return nil, noFiles
}

// shownMoves is how many moves are listed for people; --json has more.
const shownMoves = 40

func (s *session) printWhatIf(a api.WhatIf) error {
	if s.json {
		return printJSON(s.out, a)
	}
	fmt.Fprintln(s.out, clean(a.Text))
	for _, n := range a.Notes {
		fmt.Fprintf(s.out, "note: %s\n", clean(n))
	}
	if len(a.Moves) > 0 {
		var rows [][]string
		for _, m := range a.Moves[:min(len(a.Moves), shownMoves)] {
			rows = append(rows, []string{m.App, strconv.Itoa(m.Slot), m.Release, m.From, m.To})
		}
		fmt.Fprintln(s.out)
		if err := table(s.out, []string{"APP", "SLOT", "RELEASE", "FROM", "TO"}, rows); err != nil {
			return err
		}
		if more := a.Moved - len(rows); more > 0 {
			fmt.Fprintf(s.out, "and %d more\n", more)
		}
	}
	s.printMisfits(a)
	if len(a.Interrupted) > 0 {
		fmt.Fprintf(s.out, "\nwould not answer until replaced: %s\n", clean(strings.Join(a.Interrupted, ", ")))
	}
	fmt.Fprintf(s.out, "\nfree now: %s; then: %s\n", room(a.Before), room(a.After))
	return nil
}

func (s *session) printMisfits(a api.WhatIf) {
	for left := a.Misfits; len(left) > 0; {
		m, n := left[0], 1
		for n < len(left) && sameMisfit(m, left[n]) {
			n++
		}
		which := fmt.Sprintf("slot %d of %s", m.Slot, m.App)
		if n > 1 {
			which = fmt.Sprintf("%d slots of %s, %d to %d,", n, m.App, m.Slot, left[n-1].Slot)
		}
		left = left[n:]
		fmt.Fprintf(s.out, "\n%s would not fit: %s (%s)\n", clean(which), clean(m.Message), m.Code)
		for _, line := range m.Evidence {
			fmt.Fprintf(s.out, "  %s\n", clean(line))
		}
		if m.Next != "" {
			fmt.Fprintf(s.out, "  next: %s\n", clean(m.Next))
		}
	}
	if more := a.LeftOut - len(a.Misfits); more > 0 {
		fmt.Fprintf(s.out, "and %d more that would not fit\n", more)
	}
}

// sameMisfit reports whether another slot of the same app is refused in the same words.
func sameMisfit(a, b api.Misfit) bool {
	b.Slot = a.Slot
	return reflect.DeepEqual(a, b)
}

func room(h api.Headroom) string {
	text := fmt.Sprintf("%s of %s on %d nodes, at most %s on one", memory(h.FreeMiB), memory(h.MemoryMiB), h.Nodes, memory(h.LargestMiB))
	if h.More > 0 {
		text += fmt.Sprintf(", enough for %d more", h.More)
	}
	return text
}
