package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/api"
)

// told runs a command against one answer and looks for what it shows.
func told(t *testing.T, cmd, request string, reply any, shows ...string) {
	t.Helper()
	f := newFake(t)
	f.mux.HandleFunc(request, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, reply) })
	r := run(t, f, strings.Fields(cmd)...)
	if r.code != 0 || f.seen(request) == 0 {
		t.Errorf("%s: exit code %d after %v: %s", cmd, r.code, f.requests, r.err)
	}
	for _, s := range shows {
		if !strings.Contains(r.out+r.err, s) {
			t.Errorf("%s does not show %q:\n%s%s", cmd, s, r.out, r.err)
		}
	}
}

func TestExplain_ShowsEvidenceConstraintsAndNextSteps(t *testing.T) {
	t.Parallel()
	step := api.ExplainStep{
		Step: "placed", Slot: 1, Text: "0 of 3 nodes fit", Code: "D140", Constraints: []api.Constraint{{Why: "cordoned", Nodes: 2, Only: 1}, {Why: "short of memory", Nodes: 1}},
		Evidence: []string{"web1 is cordoned"}, Next: "dinp node web1 uncordon",
	}
	reply := api.Explain{App: "shop", State: "v1 serves on 1 of 2", Next: step.Next, Steps: []api.ExplainStep{{Step: "desired", OK: true, Text: "2 × v1 wanted", At: t0}, step}}
	told(t, "explain shop", "GET /apps/shop/explain", reply, "shop: v1 serves on 1 of 2", "0 of 3 nodes fit (D140)", "slot 1, placed: 0 of 3", "2 cordoned, 1 of them nothing else",
		"1 short of memory\n", "web1 is cordoned", "\nnext: dinp node web1 uncordon")
}

func TestWhatIf_ShowsMovesMisfitsAndRoom(t *testing.T) {
	t.Parallel()
	reply := api.WhatIf{
		Text: "draining web1: 2 would be placed", Moves: []api.Move{{App: "shop", Slot: 1, Release: "v2", From: "web1", To: "web2"}}, Moved: 2, LeftOut: 1, Notes: []string{"hm"},
		Misfits:     []api.Misfit{{App: "blog", Slot: 3, Code: "D140", Message: "0 of 2 nodes fit", Evidence: []string{"web2 is short by 64 MiB"}, Next: "add a node"}},
		Interrupted: []string{"cron"}, Before: api.Headroom{Nodes: 2, FreeMiB: 1024, MemoryMiB: 4096}, After: api.Headroom{Nodes: 1, FreeMiB: 512, MemoryMiB: 2048, LargestMiB: 512, More: 4},
	}
	for _, cmd := range []string{"whatif drain web1", "whatif lose web1", "whatif lose-zone b", "whatif add shop 3", "whatif deploy shop --memory 1G --instances 2 --strategy canary"} {
		told(t, cmd, "GET /whatif", reply, "draining web1", "shop  1     v2       web1  web2", "and 1 more", "slot 3 of blog would not fit: 0 of 2 nodes fit (D140)",
			"web2 is short by 64 MiB", "next: add a node", "note: hm", "until replaced: cron", "1 GiB of 4 GiB on 2 nodes", "enough for 4 more")
	}
	f := newFake(t)
	for _, cmd := range []string{"whatif add shop many", "whatif explode web1", "whatif drain web1 --memory 1G", "whatif drain"} {
		if r := run(t, f, strings.Fields(cmd)...); r.code != 2 {
			t.Errorf("%s: exit code %d: %s", cmd, r.code, r.err)
		}
	}
}

// The platform refuses slots that are alike in the same words; a person reads them once.
func TestWhatIf_TellsSlotsThatAreRefusedAlikeOnce(t *testing.T) {
	t.Parallel()
	reply := api.WhatIf{Text: "40 more", LeftOut: 4}
	for slot := 15; slot < 18; slot++ {
		reply.Misfits = append(reply.Misfits, api.Misfit{App: "shop", Slot: slot, Code: "D140", Message: "0 of 5 nodes fit", Evidence: []string{"web3 is short by 128 MiB"}, Next: "add a node"})
	}
	reply.Misfits = append(reply.Misfits, api.Misfit{App: "blog", Slot: 0, Code: "D140", Message: "0 of 5 nodes fit", Evidence: []string{"web2 is cordoned"}})
	told(t, "whatif add shop 40", "GET /whatif", reply, `40 more

3 slots of shop, 15 to 17, would not fit: 0 of 5 nodes fit (D140)
  web3 is short by 128 MiB
  next: add a node

slot 0 of blog would not fit: 0 of 5 nodes fit (D140)
  web2 is cordoned

free now`)
}

func TestExplain_TellsStepsThatAreAlikeOnceAndTheAppsOwnWithoutASlot(t *testing.T) {
	t.Parallel()
	reply := api.Explain{App: "shop", State: "waits", Steps: []api.ExplainStep{{Step: "desired", Text: "v1 failed", Evidence: []string{"boom"}}}}
	for slot := 2; slot < 5; slot++ {
		reply.Steps = append(reply.Steps, api.ExplainStep{Step: "placed", Slot: slot, Text: "0 of 1 nodes fit", Evidence: []string{"web1 is cordoned"}, Next: "dinp node web1 uncordon"})
	}
	f := newFake(t)
	f.mux.HandleFunc("GET /apps/shop/explain", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, reply) })
	r := run(t, f, "explain", "shop")
	if want := "\ndesired: v1 failed\n  boom\n\nslots 2, 3, 4, placed: 0 of 1 nodes fit\n  web1 is cordoned\n  next: dinp node web1 uncordon\n"; r.code != 0 || !strings.HasSuffix(r.out, want) {
		t.Errorf("exit code %d, want it to end with %q:\n%s", r.code, want, r.out)
	}
}

// Of an app with many instances a person wants those that do not serve.
func TestExplain_FoldsManyInstancesThatServe(t *testing.T) {
	t.Parallel()
	reply := api.Explain{App: "shop", State: "v1 serves on 11 of 12", Steps: []api.ExplainStep{{Step: "desired", OK: true, Text: "12 × v1 wanted"}}}
	for slot := range 12 {
		id := fmt.Sprintf("id%02d", slot)
		reply.Steps = append(reply.Steps, api.ExplainStep{Step: "placed", Slot: slot, Instance: id, OK: true, Text: "v1 on web1"},
			api.ExplainStep{Step: "pulled", Slot: slot, Instance: id, OK: slot != 7, Text: "its image"})
	}
	f := newFake(t)
	f.mux.HandleFunc("GET /apps/shop/explain", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, reply) })
	want(t, run(t, f, "explain", "shop"), 0, `shop: v1 serves on 11 of 12
SLOT  INSTANCE  STEP     OK  AT  WHY
-     -         desired  ok  -   12 × v1 wanted
7     id07      placed   ok  -   v1 on web1
7     id07      pulled   no  -   its image

11 more instances are as they should be; dinp explain shop SLOT tells the steps of one
`)
	if r := run(t, f, "explain", "shop", "--json"); strings.Count(r.out, `"placed"`) != 12 {
		t.Errorf("a program gets less than all:\n%s", r.out)
	}
}

func TestNodes_ShowWhetherALossIsSurvived(t *testing.T) {
	t.Parallel()
	reply := api.Nodes{Survival: &api.Survival{Text: "survives the loss of any one node: no", Because: []string{"losing web1: 1 of 1"}}}
	told(t, "nodes", "GET /nodes", reply, "any one node: no\n  losing web1: 1 of 1")
}

func TestPause_SendsIt(t *testing.T) {
	t.Parallel()
	told(t, "pause shop on", "PATCH /apps/shop", api.App{}, "pause of shop is on")
}
