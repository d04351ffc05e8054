package deps

import (
	"go/token"
	"slices"
	"strings"
	"testing"
)

// mayImport is the table of DESIGN.md §3: every part may use the dictionary, few
// use the language or the database, none uses another part.
var mayImport = map[string][]string{
	"common":   {},
	"artifact": {"common"}, // a form that dash and builders must agree on, and that needs the registry's library
	"proto":    {"common"},
	"sql":      {"common"},
	"server":   {"common", "proto", "sql"},
	"agent":    {"common", "proto"},
	"builder":  {"common", "artifact", "proto", "sql"}, // sql for the queue of builds
	"dash":     {"common", "artifact", "proto", "sql"},
	"router":   {"common"},
	"hm":       {"common", "proto"},
	"cli":      {"common"},
	"images":   {},
	"examples": {},
	"cmd":      {"common", "proto", "sql", "server", "agent", "builder", "dash", "router", "hm", "cli", "images"},
	"test":     {"common", "proto", "sql", "server", "agent", "builder", "dash", "router", "hm", "cli", "images"},
	"bench":    {"common", "proto", "sql", "server", "agent", "builder", "dash", "router", "hm", "cli", "images"},
}

func TestImports_OnlyThoseOfTheTable(t *testing.T) {
	t.Parallel()
	each(t, func(s source) {
		from := component(s.dir)
		allowed, known := mayImport[from]
		if !known {
			t.Errorf("%s: the folder %s is not in the table; say in DESIGN.md what it is for", s.path, from)
			return
		}
		for _, p := range s.imports {
			to, ours := strings.CutPrefix(p, module)
			if !ours || component(to) == from || slices.Contains(allowed, component(to)) || s.forTests() && component(to) == "test" {
				continue
			}
			t.Errorf("%s imports %s; %s may import only %v", s.path, to, from, allowed)
		}
	})
}

func TestImports_CommonNeedsNothingButTheStandardLibrary(t *testing.T) {
	t.Parallel()
	each(t, func(s source) {
		if !s.in("common") || s.forTests() {
			return
		}
		for _, p := range s.imports {
			if strings.Contains(component(p), ".") && !strings.HasPrefix(p, module) {
				t.Errorf("%s imports %s", s.path, p)
			}
		}
	})
}

func TestImports_NothingThatShipsUsesHelpersOfTests(t *testing.T) {
	t.Parallel()
	each(t, func(s source) {
		for _, p := range s.imports {
			if helper := p == "testing" || strings.HasPrefix(p, module) && strings.HasSuffix(p, "test"); helper && !s.forTests() && !s.in("agent/runtime/fake") {
				t.Errorf("%s imports %s", s.path, p)
			}
		}
	})
}

// fence keeps a library where it belongs, so that it can be replaced there.
type fence struct {
	library string   // import path, and all below it
	within  []string // folders and files
	tests   []string // where tests may use it besides; "*": anywhere
}

var fences = []fence{
	{"github.com/gin-gonic/gin", []string{"dash"}, nil},
	{"database/sql", []string{"sql"}, nil},
	{"github.com/go-sql-driver/mysql", []string{"sql"}, nil},
	{"modernc.org/sqlite", []string{"sql"}, nil},
	{"github.com/pressly/goose", []string{"sql/migrations"}, nil},
	{"github.com/docker/docker", []string{"agent/docker", "builder"}, nil},
	{"github.com/redis/go-redis", []string{"server/publish", "router/source", "cmd/dinp"}, []string{"*"}}, // a test reads what the part wrote
	{"github.com/alicebob/miniredis", []string{"cmd/dinp"}, []string{"*"}},
	{"google.golang.org/grpc", []string{
		"proto", "cmd/dinp", "test", "server/server.go", "server/platform.go", "server/traffic.go", "server/dispatch", "server/enrol", "agent/session", "builder/nudge.go",
		"dash/leader.go", "hm/report",
	}, []string{"*"}},
	{"github.com/spf13/cobra", []string{"cli", "cmd/dinp", "test/client"}, nil},
	{"github.com/distribution/distribution", []string{"builder/registry"}, nil},
}

func TestFences(t *testing.T) {
	t.Parallel()
	each(t, func(s source) {
		for _, p := range s.imports {
			for _, f := range fences {
				if p != f.library && !strings.HasPrefix(p, f.library+"/") || s.in(f.within...) {
					continue
				}
				if s.forTests() && (slices.Contains(f.tests, "*") || s.in(f.tests...)) {
					continue
				}
				t.Errorf("%s imports %s, which belongs to %v alone", s.path, p, f.within)
			}
		}
	})
}

// pure are the packages, and single files, that decide: values in, values out.
var pure = []string{
	"common", "proto/wire", "server/plan", "server/place", "server/routes", "server/explain", "server/whatif", "builder/recipe", "router/table", "router/http1", "hm/verdict", "dash/policy", "agent/docker/translate.go",
}

var effects = []string{"net", "net/http", "os", "os/exec", "context", "sync", "sync/atomic", "database/sql", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand"}

func TestPurity(t *testing.T) {
	t.Parallel()
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	each(t, func(s source) {
		if s.test || !s.in(pure...) {
			return
		}
		for _, p := range s.imports {
			if slices.Contains(effects, p) {
				t.Errorf("%s imports %s; it decides, and must have no effects", s.path, p)
			}
		}
		s.calls(func(pkg, name string, at token.Pos) {
			if pkg == "time" && slices.Contains(clock, name) {
				t.Errorf("%s: time.%s; the time is a parameter there", fset.Position(at), name)
			}
		})
	})
}
