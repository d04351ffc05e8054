package base

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// recipe is one base.yaml: what the base image of a runtime is made of.
type recipe struct {
	From     string            `yaml:"from"`     // scratch, debian, or another runtime, whose base image this one lies on
	Packages []string          `yaml:"packages"` // beside Debian's essential ones and those of the image below
	Drop     []string          `yaml:"drop"`     // files and folders to leave out
	Program  *program          `yaml:"program"`
	Files    []file            `yaml:"files"`
	Links    []link            `yaml:"links"`
	Dirs     []dir             `yaml:"dirs"`
	User     user              `yaml:"user"`
	Workdir  string            `yaml:"workdir"`
	Env      map[string]string `yaml:"env"`
	Port     int               `yaml:"port"`
	Cmd      []string          `yaml:"cmd"`
	Labels   map[string]string `yaml:"labels"`

	upon string // the runtime whose base image is below; "" for none
}

// debian tells whether packages can be installed.
func (r *recipe) debian() bool { return r.From != "scratch" }

// program is a Go main package of the standard library alone, to be compiled into the image.
type program struct {
	Dir string `yaml:"dir"` // relative to the recipe
	To  string `yaml:"to"`
}

// file is copied from the recipe's folder.
type file struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
	Mode string `yaml:"mode"` // octal, in quotes; 0644 if empty
}

// link is a symbolic link.
type link struct {
	Path   string `yaml:"path"`
	Target string `yaml:"target"`
}

// dir is a folder; it belongs to root unless the user's name stands as owner.
type dir struct {
	Path  string `yaml:"path"`
	Owner string `yaml:"owner"`
}

// user is who the container's process runs as.
type user struct {
	Name string `yaml:"name"`
	UID  int    `yaml:"uid"`
	Home string `yaml:"home"`
}

// load reads and checks the recipe of a runtime, and of those below it. The names are of those above it.
func load(recipes fs.FS, runtime string, above ...string) (*recipe, error) {
	f, err := recipes.Open(path.Join(runtime, "base.yaml"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true) // a misspelled key is an error, not a silent omission
	r := new(recipe)
	if err := decoder.Decode(r); err != nil {
		return nil, fmt.Errorf("%s/base.yaml: %w", runtime, err)
	}
	if r.From != "scratch" && r.From != "debian" {
		r.upon = r.From
	}
	if err := errors.Join(r.validate(), r.checkUpon(recipes, append(above, runtime))); err != nil {
		return nil, fmt.Errorf("%s/base.yaml: %w", runtime, err)
	}
	return r, nil
}

// checkUpon follows the images below down to Debian. The names are the recipe's own and those above it.
func (r *recipe) checkUpon(recipes fs.FS, names []string) error {
	if r.upon == "" {
		return nil
	}
	if !fs.ValidPath(r.upon) || strings.Contains(r.upon, "/") || slices.Contains(names, r.upon) {
		return fmt.Errorf("from: %q is neither scratch nor debian nor a runtime below", r.From)
	}
	lower, err := load(recipes, r.upon, names...)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if !lower.debian() || lower.User != r.User {
		return fmt.Errorf("from: %s is not a Debian with the same user", r.upon)
	}
	return nil
}

// packageName is what Debian's policy allows; some of the names reach a shell.
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// validate lists everything that is wrong with the recipe.
func (r *recipe) validate() error {
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if r.From == "" {
		complain("from: is empty; it is scratch, debian, or another runtime")
	}
	if r.From == "scratch" && len(r.Packages) > 0 {
		complain("packages: only possible from debian")
	}
	for _, p := range r.Packages {
		if !packageName.MatchString(p) {
			complain("packages: %q is no name of a package", p)
		}
	}
	if r.User.Name == "" || r.User.UID <= 0 {
		complain("user: needs a name and a uid above 0; containers do not run as root")
	}
	if len(r.Cmd) == 0 {
		complain("cmd: is empty")
	}
	for _, p := range r.paths() {
		if !path.IsAbs(p) || path.Clean(p) != p {
			complain("path %q: is not absolute and clean", p)
		}
	}
	for _, f := range r.Files {
		if _, err := f.mode(); err != nil {
			complain("mode of %s: %w", f.To, err)
		}
	}
	for _, d := range r.Dirs {
		if d.Owner != "" && d.Owner != r.User.Name {
			complain("owner of %s: %q is not the user", d.Path, d.Owner)
		}
	}
	return errors.Join(problems...)
}

// paths returns every path the recipe names inside the image.
func (r *recipe) paths() []string {
	all := slices.Concat(r.Drop, []string{r.Workdir, r.User.Home})
	if r.Program != nil {
		all = append(all, r.Program.To)
	}
	for _, f := range r.Files {
		all = append(all, f.To)
	}
	for _, l := range r.Links {
		all = append(all, l.Path)
	}
	for _, d := range r.Dirs {
		all = append(all, d.Path)
	}
	return all
}

func (f file) mode() (int64, error) {
	if f.Mode == "" {
		return 0o644, nil
	}
	return strconv.ParseInt(f.Mode, 8, 64)
}

// sources returns the names, in the recipe's folder, of the files the image is made from, without the recipe itself.
func (r *recipe) sources(recipes fs.FS, runtime string) ([]string, error) {
	var names []string
	for _, f := range r.Files {
		names = append(names, f.From)
	}
	if r.Program != nil {
		entries, err := fs.ReadDir(recipes, path.Join(runtime, r.Program.Dir))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if n := e.Name(); strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") {
				names = append(names, path.Join(r.Program.Dir, n))
			}
		}
	}
	return names, nil
}

// format is part of every key. Raise it when this package lays out the same recipe differently.
const format = "2"

// key names the content of a base image by what it is made from: the recipe, its files, and the place (distribution
// release and architecture) that packages and compiler come from. Same key, same image, as far as Debian stands still.
func (r *recipe) key(recipes fs.FS, runtime, place string) (string, error) {
	names, err := r.sources(recipes, runtime)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", format, place)
	for _, name := range append([]string{"base.yaml"}, names...) {
		if err := hashFile(h, recipes, path.Join(runtime, name)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(w io.Writer, recipes fs.FS, name string) error {
	content, err := fs.ReadFile(recipes, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s %d\n%s", name, len(content), content)
	return err
}
