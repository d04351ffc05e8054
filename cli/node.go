package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// availabilities are the words for what people want of a node.
var availabilities = map[string]model.Availability{"cordon": model.Cordoned, "uncordon": model.Active, "drain": model.Draining}

func (c *console) nodeCommands() []*cobra.Command {
	return []*cobra.Command{
		c.command(spec{use: "nodes", short: "List nodes and routers", example: "  dinp nodes", args: cobra.NoArgs, list: true, run: listNodes}),
		c.whatIfCommand(),
		c.safeModeCommand(),
		c.nodeCommand(),
	}
}

func (c *console) nodeCommand() *cobra.Command {
	var w drainWait
	cmd := c.command(spec{use: "node NODE [cordon|uncordon|drain|forget]", short: "Show a node, or say what is wanted of it",
		long: "Show a node, or say what is wanted of it:\ncordon places nothing new there, drain also moves away what is there, uncordon takes either back;\n" +
			"forget gives up a node that never returns: its instances count as gone, and its agent is refused until\n" +
			"uncordon, with the node's ID, takes it back.\n" +
			"What is moved away goes when its replacement serves. Ctrl-C ends the waiting, not the drain.",
		example: "  dinp node web3\n  dinp whatif drain web3\n  dinp node web3 drain --wait\n  dinp node web3 uncordon", args: cobra.RangeArgs(1, 2),
		complete: nodeThen("cordon", "uncordon", "drain", "forget"), list: true,
		run: func(ctx context.Context, s *session, args []string) error { return node(ctx, s, args, w) }})
	cmd.Flags().BoolVar(&w.wait, "wait", false, "with drain: wait until nothing is on the node any more")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 10*time.Minute, "how long to wait, with --wait")
	return cmd
}

func listNodes(ctx context.Context, s *session, _ []string) error {
	n, err := get[api.Nodes](ctx, s.api, "/nodes")
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, n)
	}
	rows := make([][]string, len(n.Items))
	for i, v := range n.Items {
		rows[i] = []string{v.Name, v.Address, v.Zone, v.Pool, strings.Join(v.Labels, " "), v.Status, v.Availability, strconv.Itoa(v.Instances), used(v), v.Message}
	}
	if err := table(s.out, []string{"NODE", "ADDRESS", "ZONE", "POOL", "LABELS", "STATUS", "AVAILABILITY", "INSTANCES", "MEMORY RESERVED", "NOTE"}, rows); err != nil {
		return err
	}
	if len(n.Routers) > 0 {
		rows = make([][]string, len(n.Routers))
		for i, r := range n.Routers {
			rows[i] = []string{r.ID, r.Addr, yesNo(r.Live), r.Serves, strconv.FormatUint(r.Requests, 10), strconv.FormatUint(r.Errors, 10)}
		}
		fmt.Fprintln(s.out)
		if err := table(s.out, []string{"ROUTER", "ADDRESS", "LIVE", "SERVES", "REQUESTS", "ERRORS"}, rows); err != nil {
			return err
		}
	}
	s.printSurvival(n.Survival)
	if n.SafeMode != "" {
		fmt.Fprintf(s.out, "\nsafe mode, nothing is changed: %s\n  dinp safe-mode\n", clean(n.SafeMode))
	}
	return nil
}

// printSurvival prints the standing answer.
func (s *session) printSurvival(v *api.Survival) {
	if v == nil {
		return
	}
	fmt.Fprintf(s.out, "\n%s\n", clean(v.Text))
	for _, b := range v.Because {
		fmt.Fprintf(s.out, "  %s\n", clean(b))
	}
}

func used(n api.Node) string {
	return memory(n.MemoryReservedMiB) + " of " + memory(n.MemoryMiB)
}

func node(ctx context.Context, s *session, args []string, w drainWait) error {
	if w.wait && (len(args) < 2 || args[1] != "drain") {
		return usage(s.cmd, fmt.Errorf("--wait is for: dinp node NODE drain"))
	}
	n, err := s.findNode(ctx, args[0])
	if model.IsCode(err, model.CodeNotFound) && len(args) == 2 && args[1] == "uncordon" {
		n, err = api.Node{ID: args[0], Name: args[0]}, nil // one that was forgotten is listed nowhere
	}
	if err != nil {
		return err
	}
	if len(args) == 1 {
		return s.printNode(n)
	}
	if args[1] == "forget" {
		return s.forgetNode(ctx, n)
	}
	want, ok := availabilities[args[1]]
	if !ok {
		return usage(s.cmd, fmt.Errorf("say cordon, uncordon, drain or forget, not %q", args[1]))
	}
	was := n
	n, err = send[api.Node](ctx, s.api, http.MethodPatch, at("nodes", n.ID), api.EditNode{Availability: string(want)})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "node %s is %s\n", was.Name, become(was, want))
	if want == model.Draining && silent(was) {
		s.warn([]string{fmt.Sprintf("node %s is %s: nothing on it can be stopped before it returns; if it never does: dinp node %s forget", was.Name, was.Status, was.Name)})
	}
	if w.wait {
		if n, err = s.drained(ctx, n, w.timeout); err != nil {
			return err
		}
	}
	return s.alsoJSON(n)
}

// become says what a wish means for what is on a node.
func become(n api.Node, want model.Availability) string {
	switch {
	case want == model.Cordoned && n.Instances == 0:
		return "cordoned: nothing new is placed there"
	case want == model.Cordoned:
		return fmt.Sprintf("cordoned: nothing new is placed there, and its %s", verb(n.Instances, "stays", "stay"))
	case want == model.Draining && n.Instances == 0:
		return "draining: nothing is on it"
	case want == model.Draining:
		return fmt.Sprintf("draining: its %s away, each when its replacement serves; dinp node %s tells how far it is", verb(n.Instances, "moves", "move"), n.Name)
	}
	if silent(n) {
		return string(want) + ": it takes instances once it is back"
	}
	return string(want) + ": it takes instances"
}

func silent(n api.Node) bool {
	return n.Status == string(model.NodeUnknown) || n.Status == string(model.NodeLost)
}

// verb is such as "1 instance stays", "2 instances stay".
func verb(n int, one, more string) string {
	if n == 1 {
		return "1 instance " + one
	}
	return model.Count(n, "instance") + " " + more
}

func (s *session) forgetNode(ctx context.Context, n api.Node) error {
	if err := s.api.call(ctx, http.MethodDelete, at("nodes", n.ID), nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "node %s is forgotten; its %s replaced\n", n.Name, verb(n.Instances, "is", "are"))
	return nil
}

func (s *session) printNode(n api.Node) error {
	if s.json {
		return printJSON(s.out, n)
	}
	cpu := cores(n.CPUReservedMilli)
	if n.CPUReservedMilli == 0 {
		cpu = "0"
	}
	return facts(s.out, "node", n.Name, "id", n.ID, "address", n.Address, "zone", n.Zone, "pool", n.Pool, "labels", strings.Join(n.Labels, " "), "status", n.Status, "availability", n.Availability,
		"instances", strconv.Itoa(n.Instances), "memory reserved", used(n), "cores reserved", cpu+" of "+cores(n.CPUMilli),
		"heard", when(n.HeardAt), "docker", n.Docker, "version", n.Version, "note", n.Message)
}

// findNode finds a node by name, or by the beginning of its ID.
func (s *session) findNode(ctx context.Context, word string) (api.Node, error) {
	n, err := get[api.Nodes](ctx, s.api, "/nodes")
	if err != nil {
		return api.Node{}, err
	}
	var found []api.Node
	for _, v := range n.Items {
		if v.ID == word {
			return v, nil
		}
		if v.Name == word || len(word) >= 4 && strings.HasPrefix(v.ID, word) {
			found = append(found, v)
		}
	}
	switch len(found) {
	case 0:
		return api.Node{}, model.E(model.CodeNotFound, "there is no node %q", word).WithNext("dinp nodes lists them")
	case 1:
		return found[0], nil
	}
	e := model.E(model.CodeConflict, "%d nodes are called %q", len(found), word).WithNext("name it by its ID")
	for _, v := range found {
		e = e.WithEvidence(v.ID + " " + v.Address)
	}
	return api.Node{}, e
}
