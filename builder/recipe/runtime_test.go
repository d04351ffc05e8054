package recipe

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// catalog reads the runtimes that dinp ships.
func catalog(t testing.TB) Catalog {
	t.Helper()
	runtimes := []Runtime{DockerfileRuntime()}
	for _, name := range []string{"static", "binary", "tomcat", "java", "node", "python", "php"} {
		read := func(file string) ([]byte, error) { return os.ReadFile(filepath.Join("../../images", name, file)) }
		b, err := read("runtime.yaml")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(name, b, read)
		if err != nil {
			t.Fatal(err)
		}
		runtimes = append(runtimes, r)
	}
	return NewCatalog(runtimes...)
}

const minimal = `{name: x, description: d, needs: n, version: "1", base: b, accepts: [zip], dest: /app}`

func TestParse_Refuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to, part string }{
		{"unknown field", "dest:", "destination: /app, dest:", "field destination not found"},
		{"bad name", "name: x", "name: X", "must be a-z"},
		{"other folder", "name: x", "name: y", "must be that of its folder"},
		{"no version", `version: "1", `, "", "version is missing"},
		{"no needs", "needs: n, ", "", "description and needs"},
		{"bad build", "dest:", "build: magic, dest:", `build "magic" is none of`},
		{"no base", "base: b, ", "", "base is missing"},
		{"no template", "dest:", "build: template, dest:", "no Dockerfile beside it"},
		{"relative dest", "/app", "app", "must be an absolute path"},
		{"accepts nothing", "[zip]", "[]", "accepts is empty"},
		{"accepts odd", "[zip]", "[rpm]", `accepts "rpm"`},
		{"bad start", "dest:", "start: [magic], dest:", `start "magic"`},
		{"bad pattern", "dest:", `requires: ["[a"], dest:`, `pattern "[a"`},
		{"absolute source", "dest:", "files: [{from: /etc/passwd, to: /x}], dest:", "must be a file in the folder"},
		{"relative target", "dest:", "files: [{from: x, to: x}], dest:", "clean absolute path"},
		{"missing file", "dest:", "files: [{from: x, to: /x}], dest:", "files: file does not exist"},
		{"layer without files", "dest:", "layers: [{name: x}], dest:", "layers: each needs"},
		{"odd servlet", "dest:", "servlet: java, dest:", "neither jakarta nor javax"},
		{"odd trait", "dest:", "convert: {when: moon, command: [x]}, dest:", "convert: when must be one of javax"},
		{"whole without kinds", "dest:", "whole: {as: x}, dest:", "whole: as must be"},
		{"not YAML", minimal, "{", "runtime.yaml"},
		{"two documents", minimal, minimal + "\n---\n" + minimal, "more than one document"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("x", []byte(strings.Replace(minimal, c.from, c.to, 1)), none)
			if err == nil || !strings.Contains(err.Error(), c.part) {
				t.Errorf("got %v, want %q", err, c.part)
			}
		})
	}
}

// none is a folder with nothing beside the definition.
func none(string) ([]byte, error) { return nil, fs.ErrNotExist }

func TestParse_NamesAllProblems(t *testing.T) {
	t.Parallel()
	_, err := Parse("x", []byte("{}"), nil)
	if err == nil {
		t.Fatal("an empty definition was taken")
	}
	for _, part := range []string{"name", "version", "description", "base", "dest", "accepts"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in:\n%v", part, err)
		}
	}
}

func TestParse_HashFollowsEveryEdit(t *testing.T) {
	t.Parallel()
	a, err := Parse("x", []byte(minimal), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse("x", []byte(strings.Replace(minimal, "/app", "/srv", 1)), nil)
	if err != nil || a.Hash == b.Hash {
		t.Errorf("hashes %s and %s, %v; want different ones", a.Hash, b.Hash, err)
	}
}

func TestNewCatalog_LaterReplacesEarlier(t *testing.T) {
	t.Parallel()
	c := NewCatalog(Runtime{Name: "b", Order: 1}, Runtime{Name: "a", Order: 2}, Runtime{Name: "b", Order: 3, Version: "own"})
	if got := strings.Join(c.Names(), " "); got != "a b" || c[1].Version != "own" {
		t.Errorf("got %s with %+v", got, c[1])
	}
	if _, ok := c.Find("none"); ok {
		t.Error("found a runtime that is not there")
	}
}

func TestCatalog_ShippedOrder(t *testing.T) {
	t.Parallel()
	if got, want := strings.Join(catalog(t).Names(), " "), "dockerfile tomcat java node python php binary static"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An operator writes definitions by hand: whatever stands there is a runtime or a reason.
func FuzzParse(f *testing.F) {
	f.Add([]byte("{name: lua, version: \"1\", description: d, needs: n, base: dinp/base/binary, accepts: [zip], dest: /app, command: [a], detect: {files: [x]}}"))
	f.Add([]byte("name: [\n"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Fuzz(func(t *testing.T, definition []byte) {
		r, err := Parse("lua", definition, func(string) ([]byte, error) { return nil, errors.New("no such file") })
		if err == nil && (r.Name == "" || r.Hash == "") {
			t.Errorf("runtime %+v", r)
		}
	})
}
