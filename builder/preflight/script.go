package preflight

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/dinp/dinp/builder/recipe"
)

// node looks whether the dependencies were packed.
func (c *check) node() {
	if !slices.Contains(c.Choice.Runtime.Start, recipe.StartNpm) {
		return
	}
	var p struct {
		Dependencies map[string]any `json:"dependencies"`
	}
	if json.Unmarshal(c.read("package.json", 1<<20), &p) != nil || len(p.Dependencies) == 0 {
		return // one that cannot be read is the start command's to tell
	}
	packed := map[string]bool{}
	for _, f := range c.Choice.Files {
		if name, ok := module(f.Path); ok {
			packed[name] = true
		}
	}
	var missing []string
	for name := range p.Dependencies {
		if !packed[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || c.bundled(packed) {
		return
	}
	slices.Sort(missing)
	f := c.fail("dependencies", "run npm ci --omit=dev before packing, and pack node_modules with the rest",
		"package.json names %d dependencies, and %d of them are not in node_modules", len(p.Dependencies), len(missing))
	f.Evidence = examples(missing)
}

// module is the name of the package that a path in node_modules belongs to; those of an organisation have two parts.
func module(p string) (string, bool) {
	rest, ok := strings.CutPrefix(p, "node_modules/")
	if !ok {
		return "", false
	}
	parts := strings.SplitN(rest, "/", 3)
	if strings.HasPrefix(parts[0], "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1], true
	}
	return parts[0], true
}

// bundled reports whether the application was packed into few files by a bundler, which needs no node_modules.
func (c *check) bundled(packed map[string]bool) bool {
	return len(packed) == 0 && c.has(func(p string) bool {
		return strings.HasPrefix(p, "dist/") || strings.HasPrefix(p, "build/") || strings.HasPrefix(p, ".next/") || strings.HasPrefix(p, ".output/")
	})
}

var extension = regexp.MustCompile(`\.(cpython-\d+|pypy\d+-pp\d+|cp\d+)[-.]([A-Za-z0-9_-]*)`)

// python looks whether compiled libraries are for the Python that will load them, and whether any were packed.
func (c *check) python() {
	r := c.Choice.Runtime
	if !slices.Contains(r.Start, recipe.StartPython) {
		return
	}
	var wrong []string
	libraries := false
	c.files(func(f recipe.File) bool {
		libraries = libraries || c.inLibraries(f.Path) || strings.HasSuffix(path.Dir(f.Path), ".dist-info")
		m := extension.FindStringSubmatch(path.Base(f.Path))
		if m == nil || !hasSuffix(f.Path, ".so", ".pyd") {
			return true
		}
		if r.Compiled != "" && m[1] != r.Compiled || strings.Contains(m[2], "darwin") || strings.Contains(m[2], "win_") {
			wrong = append(wrong, f.Path)
		}
		return true
	})
	if len(wrong) > 0 {
		f := c.fail("dependencies", fmt.Sprintf("install for the runtime (pip install --target vendor --platform manylinux2014_x86_64 --implementation cp --python-version %s --only-binary=:all: -r requirements.txt) and pack again", version(r.Compiled)),
			"%d compiled libraries are not for the %s of runtime %s", len(wrong), r.Compiled, r.Name)
		f.Evidence = examples(wrong)
	}
	if wants := c.read("requirements.txt", 1<<20); !libraries && hasRequirement(string(wants)) {
		c.warn("dependencies", "run pip install --target vendor -r requirements.txt before packing, and pack vendor with the rest",
			"requirements.txt names libraries, but none are in the artifact")
	}
}

// version is 3.11 of cpython-311.
func version(tag string) string {
	digits := strings.TrimPrefix(tag, "cpython-")
	if len(digits) < 2 {
		return digits
	}
	return digits[:1] + "." + digits[1:]
}

func hasRequirement(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "-") {
			return true
		}
	}
	return false
}
