package recipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	StartManifest   = "manifest"   // the main class that META-INF/MANIFEST.MF names
	StartJar        = "jar"        // the one .jar at the root
	StartNpm        = "npm"        // what npm start would run, without npm
	StartPython     = "python"     // the WSGI or ASGI application that the sources define
)

// The traits of an artifact's content that a runtime can ask for, found before the build.
const (
	TraitJavax = "javax" // a web application for Java EE, before the packages were renamed to jakarta
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
	Files       []RuntimeFile     `yaml:"files"`    // of the runtime's folder, laid below the artifact
	Layers      []LayerGroup      `yaml:"layers"`   // parts of the artifact that change apart from the rest, the rarest first
	Whole       *Whole            `yaml:"whole"`    // the artifact goes into the image as it is, not unpacked
	Convert     *Convert          `yaml:"convert"`
	Start       []string          `yaml:"start"`   // ways to find the command, in this order; none: Command
	Launch      []string          `yaml:"launch"`  // what runs that which manifest, jar and python find
	Example     string            `yaml:"example"` // of a web line, for messages
	Command     []string          `yaml:"command"` // with no Start; none: the base's own
	Env         map[string]string `yaml:"env"`
	Labels      map[string]string `yaml:"labels"`

	Java     int    `yaml:"java"`     // the release that classes must run on; 0: none do
	Servlet  string `yaml:"servlet"`  // jakarta or javax: the packages that web applications must use; "": any
	Compiled string `yaml:"compiled"` // ABI tag that compiled extensions must have, such as cpython-311; "": any

	Template string `yaml:"-"` // the Dockerfile of BuildTemplate
	Hash     string `yaml:"-"` // of the definition's text, so that an edit without a new version builds anew too
}

// RuntimeFile is a file of the runtime's folder that every image of it gets.
type RuntimeFile struct {
	From string `yaml:"from"` // in the runtime's folder
	To   string `yaml:"to"`   // absolute, in the image
	Exec bool   `yaml:"exec"`

	Content []byte `yaml:"-"`
}

// LayerGroup is a part of the artifact that gets a layer of its own, so that a change elsewhere moves none of it.
type LayerGroup struct {
	Name  string   `yaml:"name"`
	Files []string `yaml:"files"` // globs
	Own   bool     `yaml:"own"`   // the application's own code; false: other people's, such as libraries
}

// Whole says that the uploaded file itself is what runs, as a plain jar is.
type Whole struct {
	As     string   `yaml:"as"`     // its name in Dest
	Kinds  []string `yaml:"kinds"`  // of artifact
	Unless []string `yaml:"unless"` // globs: with any of these files it is unpacked all the same
}

// Convert is a program of the base image that makes of the artifact what the runtime can run. It gets the unpacked folder
// and an empty one as its last two arguments, in a container without a network, under the limits of RUN lines.
type Convert struct {
	When    string   `yaml:"when"` // a trait
	Command []string `yaml:"command"`
	Says    string   `yaml:"says"` // for people: why, and what they can do about it
}

// Detect says which artifacts a runtime is for. Any one match is enough.
type Detect struct {
	Files      []string `yaml:"files"`      // globs over paths; a/** is everything below a
	With       []string `yaml:"with"`       // besides a file of Files, one of these must be there
	Names      []string `yaml:"names"`      // globs over the name of the upload
	Executable bool     `yaml:"executable"` // exactly one program at the root
}

var (
	runtimeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	kinds       = []string{KindTar, KindTarGz, KindZip, KindWar, KindJar}
	builds      = []string{BuildLayers, BuildDockerfile, BuildTemplate}
	starts      = []string{StartProcfile, StartControl, StartExecutable, StartManifest, StartJar, StartNpm, StartPython}
	traits      = []string{TraitJavax}
)

// Parse reads the definition in a folder: its runtime.yaml and the files beside it, read by read: its Dockerfile, if it
// has one, and those that files names. Unknown fields are errors, because a misspelt one would silently change what runs.
func Parse(folder string, definition []byte, read func(name string) ([]byte, error)) (Runtime, error) {
	r := Runtime{Build: BuildLayers}
	d := yaml.NewDecoder(bytes.NewReader(definition))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("%s/runtime.yaml: %w", folder, err)
	}
	if err := d.Decode(new(any)); err != io.EOF {
		return r, fmt.Errorf("%s/runtime.yaml: more than one document", folder)
	}
	if err := r.check(folder); err != nil {
		return r, err
	}
	sum := sha256.New()
	sum.Write(definition)
	if r.Build == BuildTemplate {
		text, err := read(DockerfileName)
		if err != nil {
			return r, fmt.Errorf("%s/runtime.yaml: build is template, but there is no Dockerfile beside it: %w", folder, err)
		}
		r.Template = string(text)
		sum.Write(text)
	}
	for i := range r.Files {
		content, err := read(r.Files[i].From)
		if err != nil {
			return r, fmt.Errorf("%s/runtime.yaml: files: %w", folder, err)
		}
		r.Files[i].Content = content
		fmt.Fprintf(sum, "%d\n%s", len(content), content)
	}
	r.Hash = hex.EncodeToString(sum.Sum(nil)[:8])
	return r, nil
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
	bad(r.Servlet != "" && r.Servlet != "jakarta" && r.Servlet != "javax", "servlet %q is neither jakarta nor javax", r.Servlet)
	bad(r.Base == "" && r.Build != BuildDockerfile, "base is missing")
	bad(r.Build == BuildLayers && !path.IsAbs(r.Dest), "dest %q must be an absolute path", r.Dest)
	bad(len(r.Accepts) == 0, "accepts is empty")
	for _, k := range r.Accepts {
		bad(!slices.Contains(kinds, k), "accepts %q, which is none of %s", k, strings.Join(kinds, ", "))
	}
	for _, s := range r.Start {
		bad(!slices.Contains(starts, s), "start %q is none of %s", s, strings.Join(starts, ", "))
	}
	for _, f := range r.Files {
		bad(!fs.ValidPath(f.From), "files: from %q must be a file in the folder", f.From)
		bad(!path.IsAbs(f.To) || path.Clean(f.To) != f.To, "files: to %q must be a clean absolute path", f.To)
	}
	for _, g := range r.Layers {
		bad(g.Name == "" || len(g.Files) == 0, "layers: each needs a name and files")
	}
	if w := r.Whole; w != nil {
		bad(w.As == "" || strings.Contains(w.As, "/") || len(w.Kinds) == 0, "whole: as must be a file's name, and kinds must be there")
	}
	if c := r.Convert; c != nil {
		bad(!slices.Contains(traits, c.When) || len(c.Command) == 0, "convert: when must be one of %s, and command must be there", strings.Join(traits, ", "))
	}
	for _, p := range r.patterns() {
		_, err := path.Match(strings.TrimSuffix(p, "**"), "")
		bad(err != nil, "pattern %q: %v", p, err)
	}
	return errors.Join(problems...)
}

// patterns are all globs of the definition.
func (r Runtime) patterns() []string {
	all := slices.Concat(r.Detect.Files, r.Detect.With, r.Detect.Names, r.Requires)
	for _, g := range r.Layers {
		all = append(all, g.Files...)
	}
	if r.Whole != nil {
		all = append(all, r.Whole.Unless...)
	}
	return all
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
