package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The rows start this program again as a server or a herd of agents.
func TestMain(m *testing.M) {
	if text := os.Getenv(orderVariable); text != "" {
		exit(runOrder(context.Background(), text))
	}
	os.Exit(m.Run())
}

// Every row runs, at a size that takes no time, and what one run has written
// can be compared with another.
func TestRows_RunSmallAndCanBeCompared(t *testing.T) {
	var files []string
	for _, name := range []string{"old", "new"} {
		var out strings.Builder
		r := newReport(&out)
		r.head()
		for _, row := range rows(true) {
			if name == "new" && slices.Contains([]string{"commits", "delivery", "cluster", "agents", apart}, row.name) {
				continue // once is enough for those that start servers
			}
			if err := r.measure(context.Background(), row, 10); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
			if !strings.Contains(out.String(), row.name) {
				t.Errorf("%s is not in the table:\n%s", row.name, out.String())
			}
		}
		files = append(files, filepath.Join(t.TempDir(), name))
		if err := r.write(files[len(files)-1]); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if err := compare(&out, files[0], files[1]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"old cpu: ", "new cpu: ", "decisions/nodes=10"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the comparison does not say %q:\n%s", want, out.String())
		}
	}
}

func TestNumber_HasSeparators(t *testing.T) {
	for v, want := range map[float64]string{0.12345: "0.123", 99: "99", 1234567.6: "1,234,568", 100: "100"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

func TestHerds_AllAgentsAreInOneOfThem(t *testing.T) {
	for _, c := range []struct{ agents, connections, files, want int }{{10_000, 2, 20_000, 2}, {10_000, 1, 20_000, 1}, {10_000, 2, 1 << 20, 1}, {1, 2, 1, 1}, {100_000, 2, 20_000, 11}} {
		if got := herdsFor(c.agents, c.connections, c.files); got != c.want {
			t.Errorf("%+v: %d processes", c, got)
		}
	}
	for of := 1; of < 9; of++ {
		next := 0
		for k := range of {
			first, count := share(100, k, of)
			if first != next || count < 100/of {
				t.Errorf("the share of %d of %d is %d from %d on", k, of, count, first)
			}
			next += count
		}
		if next != 100 {
			t.Errorf("%d shares hold %d of 100", of, next)
		}
	}
}
