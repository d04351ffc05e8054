package recipe

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

var update = flag.Bool("update", false, "write the golden files")

var rules = Rules{Registry: "127.0.0.1:5080", Registries: []string{"docker.io", "registry.example.org:5000"}, Label: "dinp.build=b1"}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestRewriteDockerfile_Golden(t *testing.T) {
	t.Parallel()
	in, err := os.ReadFile("testdata/multi.in")
	if err != nil {
		t.Fatal(err)
	}
	got, err := RewriteDockerfile(string(in), rules)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "multi.out", got.Text)
	if d := cmp.Diff([]string{"dinp/base/binary:latest", "dinp/base/static"}, got.Bases); d != "" {
		t.Error(d)
	}
	again, err := RewriteDockerfile(got.Text, rules)
	if err != nil {
		t.Fatalf("its own output is refused: %v", err)
	}
	if a, b := instructionsOf(t, got.Text), instructionsOf(t, again.Text); b < a {
		t.Errorf("the output reads as %d instructions, its rewriting as %d", a, b)
	}
}

func TestRewriteDockerfile_PinsBases(t *testing.T) {
	t.Parallel()
	pinned := rules
	pinned.Digests = map[string]string{"dinp/base/a": "sha256:11", "dinp/base/b:2": "sha256:22", "dinp/base/c@sha256:33": "sha256:33"}
	got, err := RewriteDockerfile("FROM dinp/base/a\nFROM dinp/base/b:2\nFROM dinp/base/c@sha256:33\nFROM dinp/base/d:1", pinned)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/dinp/base/a@sha256:11\n", "/dinp/base/b@sha256:22\n", "/dinp/base/c@sha256:33\n", "/dinp/base/d:1\n"} {
		if !strings.Contains(got.Text, want) {
			t.Errorf("%q is missing in:\n%s", want, got.Text)
		}
	}
}

func instructionsOf(t *testing.T, text string) int {
	in, _, err := parseDockerfile(text)
	if err != nil {
		t.Fatal(err)
	}
	return len(in)
}

func TestRewriteDockerfile_Refuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, part string }{
		{"no FROM", "RUN x", "has no FROM"},
		{"nothing", "", "has no FROM"},
		{"FROM nothing", "FROM", "names no image"},
		{"unlisted registry", "FROM evil.example.com/x", `images of "evil.example.com" may not be used`},
		{"internal address", "FROM 10.0.0.1:5000/x", `images of "10.0.0.1:5000"`},
		{"localhost", "FROM localhost/x", `images of "localhost"`},
		{"other app", "FROM dinp/apps/secret", "belongs to the platform"},
		{"other app by address", "FROM 127.0.0.1:5080/dinp/apps/secret", "belongs to the platform"},
		{"copy from other app", "FROM scratch\nCOPY --from=dinp/apps/secret:latest / /", "line 2 of the Dockerfile: \"dinp/apps/secret:latest\" belongs"},
		{"copy with options from other app", "FROM scratch\nCOPY --chown=1 --from=dinp/apps/secret / /", "belongs"},
		{"copy from a variable", "FROM scratch\nARG X=dinp/apps/y\nCOPY --from=$X / /", "plainly"},
		{"by ARG", "ARG R=evil.example.com\nFROM $R/x", "evil.example.com"},
		{"by nested ARG", "ARG R=$S\nFROM ${R}/x", "cannot be told"},
		{"unknown variable", "FROM $X", "cannot be told"},
		{"ADD http", "FROM scratch\nADD http://169.254.169.254/latest /", "line 2"},
		{"ADD https in JSON", `FROM scratch` + "\n" + `ADD ["https://x/y", "/"]`, "ADD may only name"},
		{"ADD by variable", "FROM scratch\nENV U=http://x\nADD $U /", "ADD may only name"},
		{"ADD git", "FROM scratch\nADD git@github.com:a/b.git /", "ADD may only name"},
		{"ADD split over lines", "FROM scratch\nAD\\\nD http://x /", "ADD may only name"},
		{"ADD split with a comment between", "FROM scratch\nADD \\\n# hello\n  http://x /", "ADD may only name"},
		{"ADD behind another escape", "# escape=`\nFROM scratch\nADD `\n http://x /", "ADD may only name"},
		{"ADD behind a double escape", "FROM scratch\nRUN a\nADD --chown=1 \\\\\nhttp://x /", "ADD may only name"},
		{"ADD in ONBUILD", "FROM scratch AS a\nONBUILD ADD http://x /\nFROM a", "ADD may only name"},
		{"COPY --from in ONBUILD", "FROM scratch AS a\nONBUILD COPY --from=x / /\nFROM a", "not supported"},
		{"RUN --mount", "FROM scratch\nRUN --mount=type=cache,target=/x make", "BuildKit"},
		{"heredoc", "FROM scratch\nRUN <<EOF\nADD x\nEOF", "here-documents"},
		{"NUL", "FROM scratch\x00", "NUL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := RewriteDockerfile(c.text, rules)
			wantRefusal(t, err, model.CodeBadRuntime, c.part)
		})
	}
}

// FuzzRewriteDockerfile: what comes out never holds a remote ADD or an image that the rules forbid, read line by line as
// the engine reads it, and every stage carries the label.
func FuzzRewriteDockerfile(f *testing.F) {
	f.Add("FROM scratch\nADD \\\n a /\nRUN x \\\\\n\nADD b c")
	f.Add("# escape=`\nARG A=dinp/base/x\nFROM ${A:-y} AS z\nCOPY --from=z a b")
	remote := regexp.MustCompile(`(?i)^\s*(ONBUILD\s+)*ADD\s.*://`)
	f.Fuzz(func(t *testing.T, text string) {
		out, err := RewriteDockerfile(text, rules)
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(out.Text, "\n"), "\n") {
			if remote.MatchString(line) && len(sources(line[strings.Index(strings.ToUpper(line), "ADD")+3:])) > 0 && strings.Contains(sources(line[strings.Index(strings.ToUpper(line), "ADD")+3:])[0], "://") {
				t.Fatalf("remote ADD in %q", out.Text)
			}
			if line != "# escape=`" && strings.HasSuffix(strings.TrimRight(line, " \t\r"), `\`) && !strings.HasPrefix(out.Text, "# escape=`") {
				t.Fatalf("a line goes on in the next: %q", out.Text)
			}
		}
		if strings.Count(out.Text, "LABEL "+rules.Label) < 1 {
			t.Fatalf("no label in %q", out.Text)
		}
		if _, err := RewriteDockerfile(out.Text, rules); err != nil {
			t.Fatalf("its own output is refused: %v\n%q", err, out.Text)
		}
	})
}

func TestChoice_Dockerfile_Golden(t *testing.T) {
	t.Parallel()
	definition, err := os.ReadFile("testdata/wheel/runtime.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse("wheel", definition, func(name string) ([]byte, error) { return os.ReadFile("testdata/wheel/" + name) })
	if err != nil {
		t.Fatal(err)
	}
	got, err := Choice{Runtime: r}.Dockerfile(Start{Command: []string{"/bin/sh", "-c", `exec run "$PORT"`}})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "wheel.out", got)
	if _, err := RewriteDockerfile(got, rules); err != nil {
		t.Errorf("the generated file is refused: %v", err)
	}
	r.Template = "FROM {{.Nothing}}"
	if _, err := (Choice{Runtime: r}).Dockerfile(Start{}); err == nil {
		t.Error("a template with an unknown name was taken")
	}
}
