package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

// visitors ask an app all the time and note every answer, in order. They are slow,
// so that a stage is passed before it has the requests by which latency is judged:
// on a busy machine that says nothing.
type visitors struct {
	mu      sync.Mutex
	answers []int // statuses; 0 for none
	stop    context.CancelFunc
	all     sync.WaitGroup
}

func (s *stage) visited(host string) *visitors {
	ctx, cancel := context.WithCancel(s.t.Context())
	v := &visitors{stop: cancel}
	for range 4 {
		v.all.Go(func() {
			for ctx.Err() == nil {
				code, _, _ := s.get(host, "/")
				v.mu.Lock()
				v.answers = append(v.answers, code)
				v.mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(60 * time.Millisecond):
				}
			}
		})
	}
	s.t.Cleanup(func() { cancel(); v.all.Wait() })
	return v
}

// since are the answers after the first n.
func (v *visitors) since(n int) []int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]int(nil), v.answers[n:]...)
}

// well waits until the last forty answers are good, and returns how many there were.
func (v *visitors) well(t *testing.T) (n int) {
	t.Helper()
	testenv.Eventually(t, 60*time.Second, func() error {
		all := v.since(0)
		if n = len(all); n < 40 {
			return fmt.Errorf("%d answers", n)
		}
		if failed, of := failing(all[n-40:]); failed > 0 {
			return fmt.Errorf("%d of %d answers fail", failed, of)
		}
		return nil
	})
	return n
}

// failing is how many of the answers are no 200, and how many lie between the
// first and the last of those.
func failing(answers []int) (failed, of int) {
	first := -1
	for i, code := range answers {
		if code == http.StatusOK {
			continue
		}
		if first < 0 {
			first = i
		}
		failed, of = failed+1, i-first+1
	}
	return failed, of
}

func TestUp_StrategiesShareJudgeAndTakeBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	hello := artifact(t, "hello.tar.gz")
	deploy := func(more ...string) []string {
		return append([]string{"deploy", "hello", hello, "--memory", "64M", "--drain", "1s", "--health", "/healthz"}, more...)
	}
	s.dinp(deploy("--env", "GREETING=one")...)
	s.answers("hello", "/", "one")
	v := s.visited("hello")

	// A release whose every answer is 500: no more than its share of the visitors
	// see that, and not for long.
	out := s.refused("D205", deploy("--env", "FAIL=on", "--strategy", "canary", "--steps", "20", "--observe", "2s")...)
	for _, want := range []string{"v2 does worse than v1", "requests failed", "v1 keeps serving 1 of 1", "20 %"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	before := v.well(t)
	failed, of := failing(v.since(0))
	if most := .2*float64(of) + 5*math.Sqrt(.2*.8*float64(of)) + 2; failed < 4 || float64(failed) > most {
		t.Errorf("%d of %d requests failed while the canary had a fifth of them; at most %.0f by chance", failed, of, most)
	}

	// A good one ends at all of them.
	out = s.dinp(deploy("--env", "FAIL=", "--env", "GREETING=two", "--strategy", "canary", "--steps", "20,50", "--observe", "2s")...)
	if !strings.Contains(out, "step 1 of 3") || !strings.Contains(out, "step 2 of 3") {
		t.Errorf("the steps are not told:\n%s", out)
	}
	s.answers("hello", "/", "two")
	if said := s.dinp("events", "hello"); !strings.Contains(said, "v3 has passed step 2: at 50 %") {
		t.Errorf("the events do not tell of the steps:\n%s", said)
	}

	// All at once, the old one staying for an hour; a person does not wait for that.
	s.dinp(deploy("--env", "GREETING=three", "--strategy", "bluegreen", "--observe", "1h", "--no-wait")...)
	s.answers("hello", "/", "three")
	if n := len(s.containers("hello")); n != 2 {
		t.Errorf("%d containers, want the old one beside the new one", n)
	}
	s.dinp("promote", "hello", "v4")
	s.converged("hello", 1)
	if failed, of := failing(v.since(before)); failed > 0 {
		t.Errorf("%d of %d requests failed under a canary and a bluegreen change that went well", failed, of)
	}
}
