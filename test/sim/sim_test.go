package sim

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // a run is small, and makes much that is soon forgotten
	goleak.VerifyTestMain(m)
}

// replay says how to replay a failing run.
func replay(t *testing.T, r Result) {
	t.Helper()
	need, last := Minimise(t.Context(), r)
	var b strings.Builder
	for _, n := range need {
		fmt.Fprintln(&b, "  ", r.Actions[n-1])
	}
	t.Errorf("seed %d: %v\nwith %d of %d actions: %v\n%sreplay it with\n   %s", r.Seed, r.Failure, len(need), len(r.Actions), last.Failure, b.String(), Command(r.Seed, need))
}

// Every seed holds every invariant, and comes to rest as wished. DINP_SIM_SEEDS
// asks for more of them.
func TestSeeds_HoldEveryInvariant(t *testing.T) {
	t.Parallel()
	n := seeds
	if v, err := strconv.Atoi(os.Getenv("DINP_SIM_SEEDS")); err == nil {
		n = v
	}
	for lane := range 4 {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			for seed := 1 + lane; seed <= n && !t.Failed(); seed += 4 {
				if r := Run(t.Context(), uint64(seed), Options{}); r.Failure != nil {
					replay(t, r)
				}
			}
		})
	}
}

// failedOnce are runs that have found something: never again.
var failedOnce = []struct {
	seed uint64
	only []int
	what string
}{
	{80, []int{12, 13}, "a change of leaders emptied the routes of a node that was silent"},
	{37, []int{16, 17}, "the same after a failover of the database"},
	{189, []int{3, 5}, "a change of leaders while monitors saw everything dead emptied routes"},
	{43, []int{10, 11, 12, 15, 18, 25}, "routers held the routes of apps that a restored database does not know for ever, although a person had decided"},
	{146, []int{14}, "a leader of a database without apps withdrew all routes before agents could tell that it was restored"},
	{255, []int{5, 6, 7, 8, 9, 11, 15}, "a replacement that alone served was cancelled because what it replaced had become silent"},
	{157, []int{17, 18, 21, 22}, "a surge instance took the role of a primary that was gone before its row went: refused for ever"},
	{1124, []int{3, 6}, "routers believed a Redis that was set back while nobody led once the next leader wrote"},
	{1871, []int{1, 3, 18}, "routes of an app with guests were not touched until it was well, which it never was"},
	{2838, []int{3, 5, 6}, "an instance of a rollout that had failed while its node was away was stopped on its return, before another served"},
	{1260, []int{20, 23}, "a monitor's stream that a leader found when it went on silenced the monitor's living one"},
	{70519, []int{12}, "a leader whose machine slept acted on for 24 ms after the lease was another's, as it must be allowed to"},
	{70156, []int{2, 15}, "a second container was made of an instance of which the record and the container were gone"},
	{71937, []int{3, 4, 6, 8, 9}, "a leader that began while Redis was away never learnt what was routed on a node that was lost then, and emptied its routes"},
	{40040, []int{11, 12, 13}, "the same leader emptied the routes of what monitors saw dead"},
	{201336, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14}, "what routers still had, because Redis was away, was forgotten when its replacement ended before they took it: no route was left"},
	{1320, []int{13, 24}, "monitors that agreed with what the leader remembered said nothing, and a blind one decided alone"},
	{230018, []int{8, 10, 16, 18, 21, 22}, "a singleton that had to end by itself ended in the middle of its drain, as it must be allowed to"},
	{230709, []int{4, 10, 14}, "a stop that an agent with a full disk could not obey, as it had never heard of the instance, was not sent again"},
	{302987, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}, "a leader whose machine had slept was to have counted that time as silence of its nodes"},
	{241013, []int{1, 2, 3, 4, 5, 6}, "containers of instances that are gone, whose start and removal the engine had refused, were counted as room that is taken"},
	{200958, []int{6, 14, 17, 21, 22}, "a daemon whose hang had ended made a second container, of a request that was still waiting in it, when the first was gone"},
	{212394, []int{1, 6, 7, 8}, "redis was flushed, leaders changed, and the monitor could not reach a zone: its apps were taken out of routers' tables"},
	{400936, []int{1, 2, 3, 10}, "the same when redis was set back"},
	{201010, []int{5, 6, 7}, "what a failover of the database had forgotten was stopped while routers that waited for a whole table sent to it"},
	{240238, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, "guests had the room that an app's last instance waited for, and would not go before it was ready"},
	{401289, []int{8, 10, 13, 14}, "what an engine had refused to remove was told gone again after a power cut, and its container was there, as it may be"},
	{302069, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}, "a full sync that newer words had overtaken made a running instance one of which nothing was known: its route was emptied"},
	{418050, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, "a leader that had stood still believed a loss before the breaker had counted who was silent"},
}

func TestSeeds_ThatFailedOnceHold(t *testing.T) {
	t.Parallel()
	for _, f := range failedOnce {
		for _, only := range [][]int{f.only, nil} {
			if only == nil && !whole {
				continue
			}
			if r := Run(t.Context(), f.seed, Options{Only: only}); r.Failure != nil {
				t.Errorf("%s: seed %d: %v", f.what, f.seed, r.Failure)
			}
		}
	}
}

func TestRun_TheSameSeedIsTheSameRun(t *testing.T) {
	t.Parallel()
	for seed := uint64(1000); seed < 1000+repeats; seed++ {
		var a, b bytes.Buffer
		x, y := Run(t.Context(), seed, Options{Out: &a}), Run(t.Context(), seed, Options{Out: &b})
		if x.Trace != y.Trace || x.Events != y.Events {
			t.Errorf("seed %d: two runs differ from %q on", seed, firstDifference(a.String(), b.String()))
		}
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + " | " + y[i]
		}
	}
	return "the end"
}

// What is printed can be read by a person, and says how to see it again.
func TestRun_SaysWhatHappens(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := Run(t.Context(), 1, Options{Out: &out, Logs: true})
	for _, want := range []string{"agent starts", "leads with epoch", "container of", "healthy=true", "faults stop", "serves"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the trace does not say %q", want)
		}
	}
	if c := Command(1, []int{3, 7}); r.Failure != nil || c != "go run ./test/sim/cmd -seed 1 -only 3,7 -v" {
		t.Errorf("%v; %s", r.Failure, c)
	}
}
