package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
)

func (c *console) safeModeCommand() *cobra.Command {
	return c.command(spec{use: "safe-mode [end]", short: "See why nothing is changed after a restore, and end that",
		long: "A database that is older than what agents know was restored, or has lost what it had acknowledged. The leader then\n" +
			"starts and stops nothing and leaves all routes as they are, until a person decides. Without a word this tells what would\n" +
			"be done if the database were believed; end does it.",
		example: "  dinp safe-mode\n  dinp safe-mode end", args: cobra.MaximumNArgs(1), list: true, run: safeMode})
}

func safeMode(ctx context.Context, s *session, args []string) error {
	if len(args) == 1 {
		if args[0] != "end" {
			return usage(s.cmd, fmt.Errorf("say end or nothing, not %q", args[0]))
		}
		if err := s.api.call(ctx, http.MethodDelete, "/safe-mode", nil, nil); err != nil {
			return err
		}
		fmt.Fprintln(s.err, "safe mode is over; the leader makes what runs like what the database says")
		return nil
	}
	m, err := get[api.SafeMode](ctx, s.api, "/safe-mode")
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, m)
	}
	if !m.On {
		fmt.Fprintln(s.out, "safe mode is off")
		return nil
	}
	fmt.Fprintf(s.out, "safe mode since %s: %s\nNothing is started or stopped, and routes stay as they are.\n\n", when(m.Since), clean(m.Reason))
	if len(m.Apps) == 0 {
		fmt.Fprintln(s.out, "If it ended now, no app would change.")
	} else if err := s.printWouldDo(m.Apps); err != nil {
		return err
	}
	for _, n := range m.Notes {
		fmt.Fprintln(s.out, clean(n))
	}
	fmt.Fprintln(s.out, "\nRestore a newer database, or, if this one holds what you want: dinp safe-mode end")
	return nil
}

func (s *session) printWouldDo(apps []api.SafeModeApp) error {
	fmt.Fprintln(s.out, "If it ended now:")
	rows := make([][]string, len(apps))
	for i, a := range apps {
		note := ""
		switch {
		case a.Lost:
			note = "the database does not know it: it stops answering"
		case a.Unknown > 0:
			note = "what is unknown serves until others do"
		}
		rows[i] = []string{a.Name, strconv.Itoa(a.Start), strconv.Itoa(a.Stop), strconv.Itoa(a.Unknown), note}
	}
	return table(s.out, []string{"APP", "STARTED", "STOPPED", "UNKNOWN, STOPPED", "NOTE"}, rows)
}
