package recipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The ways an image of a runtime is made.
const (
	BuildLayers     = "layers"     // base image + the files as a layer; nothing runs, no engine is needed
	BuildDockerfile = "dockerfile" // by the Dockerfile in the artifact
	BuildTemplate   = "template"   // by the Dockerfile beside runtime.yaml, a text/template
)

// The kinds of artifact a runtime can accept.
const (
	KindTar   = "tar"
	KindTarGz = "tar.gz"
	KindZip   = "zip"
	KindWar   = "war" // a zip called .war, or with WEB-INF in it
	KindJar   = "jar" // a zip called .jar, or with a manifest in it
)

// The ways to find the start command in an artifact.
const (
	StartProcfile   = "procfile"   // the web line of the Procfile
	StartControl    = "control"    // ./control start, as in the first DINP
	StartExecutable = "executable" // the one program at the root
)

// Runtime is what the builder lays under an artifact, as its runtime.yaml says.
type Runtime struct {
	Name        string            `yaml:"name"`        // as in --runtime; the folder is called the same
	Description string            `yaml:"description"` // one line for people
	Version     string            `yaml:"version"`     // part of every build's identity: a new version builds anew
	Base        string            `yaml:"base"`        // dinp/base/… in the platform's registry, or a full reference
	Build       string            `yaml:"build"`       // layers (default), dockerfile or template
	Accepts     []string          `yaml:"accepts"`     // kinds of artifact
	Order       int               `yaml:"order"`       // lower is tried first
	Detect      Detect            `yaml:"detect"`
	Requires    []string          `yaml:"requires"` // one of these files must be there, also when the runtime was asked for
	Needs       string            `yaml:"needs"`    // what an artifact must have, for messages
	Strip       bool              `yaml:"strip"`    // drop the one top folder that everything is in
	Dest        string            `yaml:"dest"`     // where the files go in the image
	Owner       int               `yaml:"owner"`    // user and group of the files
	Workdir     string            `yaml:"workdir"`  // "": the base's own
	User        string            `yaml:"user"`     // "": the base's own
	Start       []string          `yaml:"start"`    // ways to find the command, in this order; none: Command
	Command     []string          `yaml:"command"`  // with no Start; none: the base's own
	Env         map[string]string `yaml:"env"`
	Labels      map[string]string `yaml:"labels"`

	Template string `yaml:"-"` // the Dockerfile of BuildTemplate
	Hash     string `yaml:"-"` // of the definition's text, so that an edit without a new version builds anew too
}

// Detect says which artifacts a runtime is for. Any one match is enough.
type Detect struct {
	Files      []string `yaml:"files"`      // globs over paths; a/** is everything below a
	Names      []string `yaml:"names"`      // globs over the name of the upload
	Executable bool     `yaml:"executable"` // exactly one program at the root
}

var (
	runtimeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	kinds       = []string{KindTar, KindTarGz, KindZip, KindWar, KindJar}
	builds      = []string{BuildLayers, BuildDockerfile, BuildTemplate}
	starts      = []string{StartProcfile, StartControl, StartExecutable}
)

// Parse reads the definition in a folder: its runtime.yaml and, if it has one, its Dockerfile. Unknown fields are errors,
// because a misspelt one would silently change what runs.
func Parse(folder string, definition, dockerfile []byte) (Runtime, error) {
	r := Runtime{Build: BuildLayers}
	d := yaml.NewDecoder(bytes.NewReader(definition))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("%s/runtime.yaml: %w", folder, err)
	}
	if err := d.Decode(new(any)); err != io.EOF {
		return r, fmt.Errorf("%s/runtime.yaml: more than one document", folder)
	}
	if r.Build == BuildTemplate {
		r.Template = string(dockerfile)
	}
	sum := sha256.Sum256(append(definition, r.Template...))
	r.Hash = hex.EncodeToString(sum[:8])
	return r, r.check(folder)
}

func (r Runtime) check(folder string) error {
	var problems []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf("%s/runtime.yaml: "+format, append([]any{folder}, args...)...))
		}
	}
	bad(!runtimeName.MatchString(r.Name), "name %q must be a-z, 0-9 and -, at most 31 characters", r.Name)
	bad(r.Name != folder, "name %q must be that of its folder", r.Name)
	bad(r.Version == "", "version is missing")
	bad(r.Description == "" || r.Needs == "", "description and needs must be there: people read them in messages")
	bad(!slices.Contains(builds, r.Build), "build %q is none of %s", r.Build, strings.Join(builds, ", "))
	bad(r.Base == "" && r.Build != BuildDockerfile, "base is missing")
	bad(r.Build == BuildTemplate && r.Template == "", "build is template, but there is no Dockerfile beside it")
	bad(r.Build == BuildLayers && !path.IsAbs(r.Dest), "dest %q must be an absolute path", r.Dest)
	bad(len(r.Accepts) == 0, "accepts is empty")
	for _, k := range r.Accepts {
		bad(!slices.Contains(kinds, k), "accepts %q, which is none of %s", k, strings.Join(kinds, ", "))
	}
	for _, s := range r.Start {
		bad(!slices.Contains(starts, s), "start %q is none of %s", s, strings.Join(starts, ", "))
	}
	for _, p := range slices.Concat(r.Detect.Files, r.Detect.Names, r.Requires) {
		_, err := path.Match(strings.TrimSuffix(p, "**"), "")
		bad(err != nil, "pattern %q: %v", p, err)
	}
	return errors.Join(problems...)
}

// Catalog is the runtimes a builder knows, in the order they are tried.
type Catalog []Runtime

// NewCatalog puts runtimes in order. A later runtime of the same name replaces an earlier one: an operator's own
// definition comes after the one that is built in.
func NewCatalog(runtimes ...Runtime) Catalog {
	byName := map[string]Runtime{}
	for _, r := range runtimes {
		byName[r.Name] = r
	}
	c := make(Catalog, 0, len(byName))
	for _, r := range byName {
		c = append(c, r)
	}
	slices.SortFunc(c, func(a, b Runtime) int {
		if a.Order != b.Order {
			return a.Order - b.Order
		}
		return strings.Compare(a.Name, b.Name)
	})
	return c
}

// Find returns the runtime of that name.
func (c Catalog) Find(name string) (Runtime, bool) {
	i := slices.IndexFunc(c, func(r Runtime) bool { return r.Name == name })
	if i < 0 {
		return Runtime{}, false
	}
	return c[i], true
}

// Names lists the runtimes' names.
func (c Catalog) Names() []string {
	var out []string
	for _, r := range c {
		out = append(out, r.Name)
	}
	return out
}

// Help has a line per runtime: what it is called and what an artifact must have.
func (c Catalog) Help() []string {
	var out []string
	for _, r := range c {
		out = append(out, fmt.Sprintf("%s (%s): %s", r.Name, strings.Join(r.Accepts, ", "), r.Needs))
	}
	return out
}
