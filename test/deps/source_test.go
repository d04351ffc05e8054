package deps

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// programs are what a person starts: they may print, and begin a context.
func (s source) program() bool { return s.file.Name.Name == "main" || s.in("cmd") }

func TestPrint_OnlyPrograms(t *testing.T) {
	t.Parallel()
	each(t, func(s source) {
		if s.test || s.program() || s.in("cli") {
			return
		}
		s.calls(func(pkg, name string, at token.Pos) {
			if pkg == "fmt" && strings.HasPrefix(name, "Print") {
				t.Errorf("%s: fmt.%s; what runs in the background logs", fset.Position(at), name)
			}
		})
	})
}

// ownContext are the files that may begin a context of their own, and why.
var ownContext = map[string]string{
	"server/lease/lease.go":        "the lease is given back after the context has ended, because it has",
	"router/listen.go":             "binding ends at once; the library wants one for looking names up",
	"builder/registry/log.go":      "a library's log lines come without one",
	"builder/registry/registry.go": "the library keeps it for the life of the process, and only its logger reads it",
	"test/testenv/testenv.go":      "servers are shared by the tests of a process, and belong to none",
}

func TestContext_BeginsInPrograms(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	each(t, func(s source) {
		if s.test || s.program() {
			return
		}
		s.calls(func(pkg, name string, at token.Pos) {
			if pkg != "context" || name != "Background" && name != "TODO" {
				return
			}
			if used[s.path] = true; ownContext[s.path] == "" {
				t.Errorf("%s: context.%s; take the caller's", fset.Position(at), name)
			}
		})
	})
	for path := range ownContext {
		if !used[path] {
			t.Errorf("%s needs its exception no more", path)
		}
	}
}

// A skipped test is a hole nobody sees, and a sleep is a race nobody has lost yet.
func TestTests_NeitherSkipNorSleep(t *testing.T) {
	t.Parallel()
	each(t, func(s source) {
		if !s.test && !s.in("test") {
			return
		}
		s.calls(func(pkg, name string, at token.Pos) {
			switch {
			case slices.Contains([]string{"t", "tb", "b", "f"}, pkg) && strings.HasPrefix(name, "Skip"):
				t.Errorf("%s: %s.%s; say what is missing and fail", fset.Position(at), pkg, name)
			case pkg == "time" && name == "Sleep":
				t.Errorf("%s: time.Sleep; wait for what you wait for", fset.Position(at))
			}
		})
	})
}

func TestDocs_EveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	said := map[string]bool{}
	each(t, func(s source) {
		if s.test || s.generated {
			return
		}
		said[s.dir] = said[s.dir] || s.file.Doc != nil
	})
	for dir, ok := range said {
		if !ok {
			t.Errorf("the package in %s has no comment", dir)
		}
	}
}

func TestDocs_EveryExportedNameIsExplained(t *testing.T) {
	t.Parallel()
	each(t, func(s source) {
		if s.test || s.generated {
			return
		}
		for _, d := range s.file.Decls {
			for _, n := range undocumented(d) {
				t.Errorf("%s: %s has no comment", fset.Position(n.Pos()), n.Name)
			}
		}
	})
}

// undocumented are the exported names of a declaration that nothing is said of. A
// comment on a group of constants or variables speaks for all of it.
func undocumented(d ast.Decl) []*ast.Ident {
	var names []*ast.Ident
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d.Recv))) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch v := spec.(type) {
			case *ast.TypeSpec:
				if v.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
					names = append(names, v.Name)
				}
			case *ast.ValueSpec:
				if v.Doc == nil && v.Comment == nil && d.Doc == nil {
					names = append(names, v.Names...)
				}
			}
		}
	}
	return slices.DeleteFunc(names, func(n *ast.Ident) bool { return !n.IsExported() })
}

// receiver is the name of a method's type.
func receiver(f *ast.FieldList) string {
	t := f.List[0].Type
	for {
		switch v := t.(type) {
		case *ast.StarExpr:
			t = v.X
		case *ast.IndexExpr:
			t = v.X
		case *ast.IndexListExpr:
			t = v.X
		case *ast.Ident:
			return v.Name
		default:
			return ""
		}
	}
}
