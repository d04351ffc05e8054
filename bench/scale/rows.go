package main

import "context"

// row is something that is measured at several numbers of nodes.
type row struct {
	name  string
	goals []goal
	// run measures at n nodes and reports each of its figures by t.report. Time
	// spent before t.start is not part of the CPU time that is shown.
	run func(ctx context.Context, t *trial, n int) error
}

// goal is what a figure is to reach at 10,000 nodes; at fewer it is shown all
// the same.
type goal struct {
	unit    string // of the figure it is for
	atLeast float64
	atMost  float64
	words   string // the goal for people; made from the numbers when empty
}

// apart is a row that measures nothing that another one does not, but it alone, which
// takes less time: it is run only when -only is given.
const apart = "takeover"

// rows are all there is to measure. In haste the waits of the cluster's row are
// short and its figures mean nothing: that is for the test of the benchmark.
func rows(hasty bool) []row {
	return []row{
		{"decisions", []goal{{unit: "decisions/s", atLeast: 1_000_000}, {unit: "%full", atLeast: 90}}, decisions},
		{"commits", []goal{{unit: "instances/s", atLeast: 20_000}}, commits},
		{"delivery", []goal{{unit: "commands/s", atLeast: 20_000}}, delivery},
		{"one-change", []goal{{unit: "ms-median", atMost: 5}}, oneChange},
		{"sweep", []goal{{unit: "ms", atMost: 1000}, {unit: "allocs/instance", atMost: 0.1, words: "none/instance"}}, sweep},
		{"memory", []goal{{unit: "B/instance", atMost: 1024}}, memory},
		{"cluster", []goal{
			{unit: "KB/agent", atMost: 50}, {unit: "%core-at-rest", atMost: 10}, {unit: "s-to-notice", atMost: 15},
			{unit: "s-leader-change", atMost: 21}, {unit: "commands-at-leader-change", atMost: 0.5, words: "none"}, {unit: "commands-at-handover", atMost: 0.5, words: "none"},
		}, cluster(hasty, perNode)},
		{"agents", []goal{
			{unit: "KB/agent", atMost: 50}, {unit: "s-to-notice", atMost: 15}, {unit: "s-leader-change", atMost: 21},
			{unit: "commands-at-leader-change", atMost: 0.5, words: "none"}, {unit: "commands-at-handover", atMost: 0.5, words: "none"},
		}, cluster(hasty, fewPerNode)},
		{"rest", []goal{{unit: "%core-at-rest", atMost: 10}}, atRest(hasty)},
		{apart, []goal{{unit: "s-leader-change", atMost: 21}, {unit: "commands-at-leader-change", atMost: 0.5, words: "none"}}, takeover(hasty)},
		{"refusal", []goal{{unit: "ms", atMost: 10}}, refusal},
	}
}
