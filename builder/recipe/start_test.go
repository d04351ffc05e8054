package recipe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func choice(t testing.TB, runtime string, names ...string) Choice {
	t.Helper()
	r, ok := catalog(t).Find(runtime)
	if !ok {
		t.Fatalf("no runtime %s", runtime)
	}
	return Choice{Runtime: r, Files: files(names...)}
}

func TestStart(t *testing.T) {
	t.Parallel()
	own := Choice{Runtime: Runtime{Name: "own", Command: []string{"/run"}}}
	for _, tc := range []struct {
		name     string
		c        Choice
		procfile string
		want     []string
		part     string
	}{
		{"procfile", choice(t, "binary", "Procfile", "+app"), "worker: ./w\n\n# note\nweb: ./app --port $PORT\r\n", []string{"/bin/sh", "-c", "exec ./app --port $PORT"}, ""},
		{"procfile with a byte order mark", choice(t, "binary", "Procfile"), "\ufeffweb: ./app", []string{"/bin/sh", "-c", "exec ./app"}, ""},
		{"two commands", choice(t, "binary", "Procfile"), "web: ./migrate && ./app", []string{"/bin/sh", "-c", "./migrate && ./app"}, ""},
		{"assignment", choice(t, "binary", "Procfile"), "web: A=b ./app", []string{"/bin/sh", "-c", "A=b ./app"}, ""},
		{"builtin", choice(t, "binary", "Procfile"), "web: cd x", []string{"/bin/sh", "-c", "cd x"}, ""},
		{"exec of their own", choice(t, "binary", "Procfile"), "web: exec ./app", []string{"/bin/sh", "-c", "exec ./app"}, ""},
		{"control", choice(t, "binary", "control", "+a", "+b"), "", []string{"/bin/sh", "-c", "exec ./control start"}, ""},
		{"one program", choice(t, "binary", "+app", "conf"), "", []string{"./app"}, ""},
		{"two programs", choice(t, "binary", "+a", "+b"), "", nil, "2 programs are at its root (a, b)"},
		{"no program", choice(t, "binary", "readme"), "", nil, "no program is at its root"},
		{"no web line", choice(t, "binary", "Procfile"), "worker: x", nil, "no web line"},
		{"empty web line", choice(t, "binary", "Procfile"), "web:", nil, `line 1 of the Procfile`},
		{"not a Procfile", choice(t, "binary", "Procfile"), "web: a\nhello", nil, `line 2 of the Procfile`},
		{"twice", choice(t, "binary", "Procfile"), "web: a\nweb: b", nil, "a second time"},
		{"the base's own", choice(t, "static", "index.html", "Procfile"), "", nil, ""},
		{"the runtime's own", own, "", []string{"/run"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.c.Start(tc.procfile)
			if tc.part != "" {
				wantRefusal(t, err, model.CodeBadRuntime, tc.part)
				return
			}
			if err != nil || got.Reason == "" {
				t.Errorf("reason %q, %v", got.Reason, err)
			}
			if d := cmp.Diff(tc.want, got.Command); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadsProcfile(t *testing.T) {
	t.Parallel()
	if !choice(t, "binary", "Procfile").ReadsProcfile() || choice(t, "binary", "x").ReadsProcfile() || choice(t, "static", "Procfile").ReadsProcfile() {
		t.Error("a Procfile is read where a runtime looks for one, and only there")
	}
}

// FuzzProcfile: any text gives a command of one shell line or a refusal.
func FuzzProcfile(f *testing.F) {
	f.Add("web: ./app --port $PORT\nworker: x")
	f.Add("\ufeffweb : a\x00b")
	c := choice(f, "binary", "Procfile")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := c.Start(text)
		if err != nil {
			return
		}
		if len(s.Command) != 3 || s.Command[2] == "" || strings.ContainsAny(s.Command[2], "\n\x00") {
			t.Fatalf("%q", s.Command)
		}
	})
}
