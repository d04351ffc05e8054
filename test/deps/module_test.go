package deps

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/dinp/dinp/"
)

// source is one Go file of the module.
type source struct {
	path      string // from the root, with slashes
	dir       string // its package's path
	test      bool   // compiled for tests only
	generated bool
	file      *ast.File
	imports   []string
}

// component is the folder at the root that a path is in.
func component(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

// forTests tells whether the file serves tests alone: a test, a benchmark's
// program, which starts the same neighbours, or a package of helpers that other
// tests import, which is called after what it helps to test.
func (s source) forTests() bool {
	return s.test || s.in("test", "bench") || strings.HasSuffix(s.dir, "test")
}

// in tells whether the file is one of those named, or below one.
func (s source) in(names ...string) bool {
	for _, n := range names {
		if s.path == n || s.dir == n || strings.HasPrefix(s.dir, n+"/") {
			return true
		}
	}
	return false
}

var fset = token.NewFileSet()

// sources are all Go files of the module. They are found by walking the folders
// and not by asking the go command: what it reads is unknown to the cache of test
// results, which would go on saying "ok" after a change.
var sources = sync.OnceValues(func() ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != root && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "node_modules" || e.Name() == "bin"):
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		s, err := parse(path)
		all = append(all, s)
		return err
	})
	return all, err
})

func parse(path string) (source, error) {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return source{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return source{}, err
	}
	rel = filepath.ToSlash(rel)
	s := source{path: rel, dir: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(rel, "_test.go"),
		generated: bytes.Contains(text[:min(len(text), 500)], []byte("// Code generated "))}
	if s.file, err = parser.ParseFile(fset, rel, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return s, err
	}
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return s, err
		}
		s.imports = append(s.imports, p)
	}
	return s, nil
}

// each calls f with every file of the module.
func each(t *testing.T, f func(s source)) {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d files were found: the rules are checked against nothing", len(all))
	}
	for _, s := range all {
		f(s)
	}
}

// calls calls f with every use of a name of another package, as ("time", "Now").
func (s source) calls(f func(pkg, name string, at token.Pos)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				f(x.Name, sel.Sel.Name, sel.Pos())
			}
		}
		return true
	})
}
