package recipe

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/dinp/dinp/common/model"
)

// File is one thing in an unpacked artifact.
type File struct {
	Path    string
	Size    int64
	ModTime int64
	Dir     bool
	Exec    bool
	ELF     bool
	Link    string
	SHA256  [32]byte // of a regular file's bytes
}

// Upload is what is known of an artifact once it is unpacked.
type Upload struct {
	Filename string // as the user called it
	Format   string // of the archive: tar, tar.gz, zip
	Files    []File
	Count    int
	Bytes    int64
}

// Choice is a runtime for an artifact, and why.
type Choice struct {
	Runtime Runtime
	Top     string   // the folder that is dropped, with its slash; "" for none
	Files   []File   // of the artifact, without the dropped folder
	Kind    string   // of artifact: one of the runtime's Accepts
	Reason  string   // for people: `index.html at the root (412 files, 9.8 MiB)`
	Also    []string // other runtimes that would take it
}

// Detect chooses the runtime for an artifact. With asked, that one is checked instead.
func (c Catalog) Detect(u Upload, asked string) (Choice, error) {
	views := u.views()
	if asked != "" {
		return c.check(u, views, asked)
	}
	for _, v := range views {
		if choice, ok := c.first(u, v); ok {
			return choice, nil
		}
	}
	return Choice{}, model.E(model.CodeUnknownKind, "no runtime recognises the artifact: a %s of %s", u.kind(), u.amount()).
		WithEvidence(append(u.listing(), c.Help()...)...).
		WithNext("add what a runtime needs, or choose one with --runtime NAME; known are %s", strings.Join(c.Names(), ", "))
}

// first returns the first runtime in order that matches the view.
func (c Catalog) first(u Upload, v view) (Choice, bool) {
	var choice Choice
	for _, r := range c {
		reason, ok := r.matches(u, v)
		switch {
		case !ok:
		case choice.Reason == "":
			choice = v.choice(r, reason, u)
		default:
			choice.Also = append(choice.Also, r.Name)
		}
	}
	return choice, choice.Reason != ""
}

// check takes the runtime that was asked for, unless it cannot work.
func (c Catalog) check(u Upload, views []view, asked string) (Choice, error) {
	r, ok := c.Find(asked)
	if !ok {
		return Choice{}, model.E(model.CodeBadRuntime, "there is no runtime %q", asked).WithEvidence(c.Help()...).
			WithNext("choose one of %s, or none to have it detected", strings.Join(c.Names(), ", "))
	}
	if !slices.Contains(r.Accepts, u.kind()) {
		return Choice{}, model.E(model.CodeBadRuntime, "runtime %s takes %s; the artifact is a %s", r.Name, strings.Join(r.Accepts, ", "), u.kind()).
			WithNext("pack it as %s, or leave --runtime away to have it detected", r.Accepts[0])
	}
	const reason = "it was asked for"
	for _, v := range views {
		if _, ok := r.matches(u, v); ok {
			return v.choice(r, reason, u), nil
		}
	}
	v := views[0]
	if r.Strip {
		v = views[len(views)-1]
	}
	if len(r.Requires) > 0 && v.find(r.Requires) == "" {
		return Choice{}, model.E(model.CodeBadRuntime, "runtime %s does not fit the artifact: it needs %s", r.Name, r.Needs).
			WithEvidence(u.listing()...).WithNext("add it and upload again, or leave --runtime away to have it detected")
	}
	return v.choice(r, reason, u), nil
}

// matches reports whether the runtime is for what is in the view, and the reason.
func (r Runtime) matches(u Upload, v view) (string, bool) {
	if !slices.Contains(r.Accepts, u.kind()) || v.top != "" && !r.Strip {
		return "", false
	}
	if p := v.find(r.Detect.Files); p != "" && (len(r.Detect.With) == 0 || v.find(r.Detect.With) != "") {
		return p + v.where(), true
	}
	name := strings.ToLower(path.Base(u.Filename))
	for _, glob := range r.Detect.Names {
		if ok, _ := path.Match(glob, name); ok {
			return fmt.Sprintf("the file name %q", path.Base(u.Filename)), true
		}
	}
	if programs := v.programs(); r.Detect.Executable && len(programs) == 1 {
		return programs[0] + " is the only program" + v.where(), true
	}
	return "", false
}

// view is the artifact's tree as it is, or without its one top folder.
type view struct {
	top   string
	files []File
}

func (u Upload) views() []view {
	out := []view{{files: u.Files}}
	if top := topFolder(u.Files); top != "" {
		out = append(out, view{top: top, files: below(u.Files, top)})
	}
	return out
}

func (v view) choice(r Runtime, reason string, u Upload) Choice {
	return Choice{Runtime: r, Top: v.top, Files: v.files, Kind: u.kind(), Reason: fmt.Sprintf("%s (%s)", reason, u.amount())}
}

func (v view) where() string {
	if v.top != "" {
		return " in the top folder " + strings.TrimSuffix(v.top, "/")
	}
	return " at the root"
}

// find returns the first file that a glob matches, or "".
func (v view) find(globs []string) string {
	for _, g := range globs {
		for _, f := range v.files {
			if !f.Dir && globMatches(g, f.Path) {
				return f.Path
			}
		}
	}
	return ""
}

// programs are the executables at the root. Where ELF programs stand beside scripts, the scripts are taken for helpers.
func (v view) programs() []string {
	var elf, all []string
	for _, f := range v.files {
		if f.Dir || !f.Exec || strings.Contains(f.Path, "/") || isLibrary(f.Path) {
			continue
		}
		all = append(all, f.Path)
		if f.ELF {
			elf = append(elf, f.Path)
		}
	}
	if len(elf) > 0 {
		return elf
	}
	return all
}

func isLibrary(p string) bool { return strings.HasSuffix(p, ".so") || strings.Contains(p, ".so.") }

func globMatches(glob, p string) bool {
	if dir, ok := strings.CutSuffix(glob, "**"); ok {
		return strings.HasPrefix(p, dir)
	}
	ok, _ := path.Match(glob, p)
	return ok
}

// topFolder returns the folder that everything is in, with its slash, or "".
func topFolder(files []File) string {
	top := ""
	for _, f := range files {
		first, _, nested := strings.Cut(f.Path, "/")
		if !nested && !f.Dir || top != "" && first+"/" != top {
			return ""
		}
		top = first + "/"
	}
	return top
}

func below(files []File, top string) []File {
	out := make([]File, 0, len(files))
	for _, f := range files {
		if p, ok := strings.CutPrefix(f.Path, top); ok && p != "" {
			f.Path = p
			out = append(out, f)
		}
	}
	return out
}

// kind is what the artifact is called in accepts. A name says more than content where both are possible.
func (u Upload) kind() string {
	if u.Format != KindZip {
		return u.Format
	}
	has := func(p string) bool { return view{files: u.Files}.find([]string{p}) != "" }
	name := strings.ToLower(u.Filename)
	switch {
	case strings.HasSuffix(name, ".war"), has("WEB-INF/**"):
		return KindWar
	case strings.HasSuffix(name, ".jar"), has("META-INF/MANIFEST.MF"):
		return KindJar
	}
	return KindZip
}

func (u Upload) amount() string {
	files := "files"
	if u.Count == 1 {
		files = "file"
	}
	return fmt.Sprintf("%d %s, %s", u.Count, files, humanize.IBytes(uint64(u.Bytes)))
}

// listing shows the first names at the root, as evidence.
func (u Upload) listing() []string {
	const most = 10
	var out []string
	for _, f := range u.Files {
		if strings.Contains(f.Path, "/") {
			continue
		}
		if len(out) == most {
			out = append(out, "…")
			break
		}
		line := fmt.Sprintf("%q", f.Path)
		if f.Dir {
			line += " (folder)"
		}
		out = append(out, line)
	}
	return out
}
