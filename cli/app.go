package cli

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) appCommands() []*cobra.Command {
	one := cobra.ExactArgs(1)
	return []*cobra.Command{
		c.command(spec{use: "apps", short: "List apps with their state", example: "  dinp apps\n  dinp apps --json",
			args: cobra.NoArgs, list: true, run: listApps}),
		c.command(spec{use: "app APP", short: "Show an app with its instances", example: "  dinp app shop",
			args: one, complete: appOnly, list: true, run: showApp}),
		c.command(spec{use: "open APP", short: "Print the URL of an app", example: "  dinp open shop\n  curl \"$(dinp open shop)\"",
			args: one, complete: appOnly, run: openApp}),
		c.command(spec{use: "explain APP [INSTANCE]", short: "Say step by step why an app is as it is",
			long: "Say why an app, or one instance or slot of it, is as it is:\ndesired → placed → pulled → started → listening → healthy → routed.\n" +
				"Of what is not done: since when, the evidence, all constraints that exclude nodes, the nearest misses, and the next command.",
			example: "  dinp explain shop\n  dinp explain shop 0", args: cobra.RangeArgs(1, 2), complete: appOnly, list: true, run: explain}),
		c.createCommand(), c.deleteCommand(),
		c.command(spec{use: "undelete APP", short: "Bring a deleted app back", long: "Bring a deleted app back, with its releases and environment. Its domains are not bound again.",
			example: "  dinp undelete shop", args: one, run: undelete}),
	}
}

func listApps(ctx context.Context, s *session, _ []string) error {
	apps, err := pages[api.App](ctx, s.api, "/apps")
	if err != nil {
		return err
	}
	return show(s, apps, []string{"NAME", "RELEASE", "READY", "MEMORY", "URL", "STATE"}, func(a api.App) []string {
		return []string{a.Name, a.Release, fmt.Sprintf("%d/%d", a.Ready, a.Instances), memory(a.MemoryMiB), a.URL, a.State}
	})
}

// appWithInstances is what `dinp app --json` prints.
type appWithInstances struct {
	api.App
	Running []api.Instance `json:"running"`
	Pending []api.Pending  `json:"pending"`
}

func showApp(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	a, err := get[api.App](ctx, s.api, at("apps", args[0]))
	if err != nil {
		return err
	}
	in, err := get[api.Instances](ctx, s.api, at("apps", args[0], "instances"))
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, appWithInstances{a, in.Items, in.Pending})
	}
	return s.printApp(a, in)
}

func (s *session) printApp(a api.App, in api.Instances) error {
	release := a.Release
	if a.Serving != a.Release {
		release = fmt.Sprintf("%s wanted, %s serves", a.Release, cell(a.Serving))
	}
	err := facts(s.out, "app", a.Name, "state", a.State, "url", a.URL, "domains", strings.Join(a.Domains, " "), "team", a.Team,
		"release", release, "runtime", a.Runtime, "instances", fmt.Sprintf("%d ready of %d wanted", a.Ready, a.Instances),
		"size", memory(a.MemoryMiB)+", cpu "+cores(a.CPUMilli), "port", strconv.Itoa(a.Port), "health", a.Health,
		"env", strings.Join(a.EnvNames, " "), "paused", ifTrue(a.Paused), "maintenance", ifTrue(a.Maintenance), "singleton", ifTrue(a.Singleton), "placed on", strings.Join(a.Constraints, " "), "changed", when(a.UpdatedAt))
	if err != nil || len(in.Items)+len(in.Pending) == 0 {
		return err
	}
	fmt.Fprintln(s.out)
	return table(s.out, []string{"SLOT", "INSTANCE", "RELEASE", "NODE", "PHASE", "READY", "ADDRESS", "NOTE"}, instanceRows(in))
}

func ifTrue(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func instanceRows(in api.Instances) [][]string {
	var rows [][]string
	for _, i := range in.Items {
		note := i.Message
		switch {
		case i.Stopping:
			note = "stopping: " + i.Reason
		case note == "":
			note = i.Verdict
		}
		rows = append(rows, []string{strconv.Itoa(i.Slot), short(i.ID), i.Release, i.Node, i.Phase, yesNo(i.Ready), i.Addr, note})
	}
	for _, p := range in.Pending {
		rows = append(rows, []string{strconv.Itoa(p.Slot), "", "", "", "waiting", yesNo(false), "", p.Code + ": " + p.Message})
	}
	return rows
}

// short is the beginning of an ID: enough to tell instances of an app apart.
func short(id string) string {
	head, _, _ := strings.Cut(id, "-")
	return head
}

// shortUUID shortens what is a UUID, and leaves names as they are.
func shortUUID(s string) string {
	if len(s) == 36 && strings.Count(s, "-") == 4 {
		return short(s)
	}
	return s
}

func openApp(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	a, err := get[api.App](ctx, s.api, at("apps", args[0]))
	if err == nil {
		fmt.Fprintln(s.out, a.URL)
	}
	return err
}

func explain(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	path := at("apps", args[0], "explain")
	if len(args) == 2 {
		path = at("apps", args[0], "instances", args[1], "explain") // a slot or the beginning of an ID will do
	}
	e, err := get[api.Explain](ctx, s.api, path)
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, e)
	}
	return s.printExplain(e)
}

func (s *session) printExplain(e api.Explain) error {
	fmt.Fprintf(s.out, "%s: %s\n", e.App, clean(e.State))
	steps, folded := fold(e.Steps)
	rows := make([][]string, len(steps))
	for i, v := range steps {
		rows[i] = []string{slots(steps[i : i+1]), short(v.Instance), v.Step, okNo(v.OK), when(v.At), withCode(v.Text, v.Code)}
	}
	if err := table(s.out, []string{"SLOT", "INSTANCE", "STEP", "OK", "AT", "WHY"}, rows); err != nil {
		return err
	}
	if folded > 0 {
		fmt.Fprintf(s.out, "\n%d more instances are as they should be; dinp explain %s SLOT tells the steps of one\n", folded, e.App)
	}
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && alike(steps[n-1], steps[n]) {
			n++
		}
		s.printEvidence(steps[0], slots(steps[:n]))
		steps = steps[n:]
	}
	if e.Next != "" {
		fmt.Fprintf(s.out, "\nnext: %s\n", clean(e.Next))
	}
	return nil
}

// shownWhole is how many instances are told step by step although nothing is wrong
// with them; --json has all.
const shownWhole = 8

// fold leaves out the steps of instances that are as they should be, if those are many.
func fold(steps []api.ExplainStep) (shown []api.ExplainStep, folded int) {
	whole := map[string]bool{} // instances; true: all of its steps are done
	for _, v := range steps {
		was, known := whole[v.Instance]
		whole[v.Instance] = v.OK && v.Instance != "" && (was || !known)
	}
	for _, is := range whole {
		if is {
			folded++
		}
	}
	if folded <= shownWhole {
		return steps, 0
	}
	return slices.DeleteFunc(slices.Clone(steps), func(v api.ExplainStep) bool { return whole[v.Instance] }), folded
}

// alike reports whether two slots lack the same for the same reason.
func alike(a, b api.ExplainStep) bool {
	b.Slot, b.At = a.Slot, a.At
	return a.Instance == "" && reflect.DeepEqual(a, b)
}

// slots lists the slots of steps; "" of a step that is of the app as a whole.
func slots(steps []api.ExplainStep) string {
	if steps[0].Step == "desired" && steps[0].Instance == "" {
		return ""
	}
	var out []string
	for _, v := range steps {
		out = append(out, strconv.Itoa(v.Slot))
	}
	return strings.Join(out, ", ")
}

func withCode(text, code string) string {
	if code == "" {
		return text
	}
	return text + " (" + code + ")"
}

// printEvidence says what is known of a step that is not done, in these slots.
func (s *session) printEvidence(v api.ExplainStep, slots string) {
	if v.OK || len(v.Evidence)+len(v.Constraints)+len(v.Misses) == 0 {
		return
	}
	head := v.Step
	switch {
	case strings.Contains(slots, ","):
		head = "slots " + slots + ", " + v.Step
	case slots != "":
		head = "slot " + slots + ", " + v.Step
	}
	fmt.Fprintf(s.out, "\n%s: %s\n", head, clean(v.Text))
	for _, c := range v.Constraints {
		only := ""
		if c.Only > 0 {
			only = fmt.Sprintf(", %d of them nothing else", c.Only)
		}
		fmt.Fprintf(s.out, "  %d %s%s\n", c.Nodes, c.Why, only)
	}
	for _, line := range v.Evidence {
		fmt.Fprintf(s.out, "  %s\n", clean(line))
	}
	if v.Next != "" {
		fmt.Fprintf(s.out, "  next: %s\n", clean(v.Next))
	}
}

func okNo(ok bool) string {
	if ok {
		return "ok"
	}
	return "no"
}

func (c *console) createCommand() *cobra.Command {
	var team string
	cmd := c.command(spec{use: "create APP", short: "Create an app without a release", example: "  dinp create shop --team web", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			if err := appArg(args[0]); err != nil {
				return err
			}
			a, err := send[api.App](ctx, s.api, http.MethodPost, "/apps", api.CreateApp{Name: args[0], Team: team})
			if err == nil {
				fmt.Fprintf(s.err, "created app %s; deploy to it with: dinp deploy %s FILE\n", a.Name, a.Name)
			}
			return err
		}})
	cmd.Flags().StringVar(&team, "team", "", "team that owns it (default: your only one)")
	return cmd
}

func (c *console) deleteCommand() *cobra.Command {
	var yes bool
	cmd := c.command(spec{use: "delete APP", short: "Delete an app", long: "Delete an app: its instances stop and its domains are free. `dinp undelete` takes it back.",
		example: "  dinp delete shop\n  dinp delete shop --yes", args: cobra.ExactArgs(1), complete: appOnly,
		run: func(ctx context.Context, s *session, args []string) error {
			if err := appArg(args[0]); err != nil {
				return err
			}
			if !yes {
				if err := s.confirm(args[0]); err != nil {
					return err
				}
			}
			if err := s.api.call(ctx, http.MethodDelete, at("apps", args[0]), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.err, "deleted app %s; take it back with: dinp undelete %s\n", args[0], args[0])
			return nil
		}})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm makes a person type the name of what is about to go. A script has to
// say --yes: an answer piped in by accident must not delete anything.
func (s *session) confirm(name string) error {
	if !isTerminal(s.in) {
		return model.E(model.CodeBadRequest, "deleting %s needs a confirmation, and nobody can be asked here", name).WithNext("dinp delete %s --yes", name)
	}
	fmt.Fprintf(s.err, "Type %s to delete it: ", name)
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if strings.TrimSpace(line) != name {
		return model.E(model.CodeBadRequest, "not deleted").WithCause(err).WithStill("app %s is as it was", name)
	}
	return nil
}

func undelete(ctx context.Context, s *session, args []string) error {
	if err := appArg(args[0]); err != nil {
		return err
	}
	a, err := send[api.App](ctx, s.api, http.MethodPost, at("apps", args[0], "undelete"), nil)
	if err == nil {
		fmt.Fprintf(s.err, "app %s is back: %s\n", args[0], clean(a.State))
	}
	return err
}
