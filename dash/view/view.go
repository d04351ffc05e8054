// Package view turns data into the pages people see: templates, words in two
// languages, style sheets and scripts, all embedded. Dash calls it; it must never
// read a database, decide who may see what, or load anything from another host.
package view

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/dinp/dinp/common/model"
)

//go:embed templates/*.html
var templateFS embed.FS

// shared are the templates every page is parsed with.
var shared = []string{"templates/layout.html", "templates/parts.html", "templates/apptop.html"}

// Page is what the layout needs, with the page's own data in Data.
type Page struct {
	Lang    string
	Title   string
	Path    string // of this page, for coming back to it
	Class   string // of the main part: "", "narrow", "login"
	Section string // which navigation entry is this page's: "/apps", …
	Version string
	Live    string // path of the page's event stream; "" when it has none
	Refresh bool   // without scripts, load again every few seconds
	User    *User  // nil: nobody is logged in
	Flash   *Flash
	Error   *model.Error // what the last action ran into
	Data    any
}

// User is who looks at the page.
type User struct {
	Name  string
	Admin bool
}

// Flash is a notice about the action that led here. Kind is "" or "warn". Warnings
// are what will not come of it as it stands.
type Flash struct {
	Kind     string
	Text     string
	Warnings []string
}

// Link is one entry of a navigation; Key is its text in the catalogue.
type Link struct {
	Path string
	Key  string
	Here bool
}

// Nav are the entries of the main navigation.
func (p *Page) Nav() []Link {
	links := []Link{{Path: "/apps", Key: "apps.title"}, {Path: "/builds", Key: "builds.title"}, {Path: "/nodes", Key: "nodes.title"},
		{Path: "/people", Key: "people.title"}, {Path: "/tokens", Key: "tokens.title"}}
	if p.User != nil && p.User.Admin {
		links = append(links, Link{Path: "/audit", Key: "audit.title"})
	}
	for i := range links {
		links[i].Here = links[i].Path == p.Section
	}
	return links
}

// Views are all pages in all languages, parsed. It is safe for concurrent use.
type Views struct {
	sets map[string]map[string]*template.Template // language → page
}

// New parses every page in every language, so that a broken template is found at
// the start and not by a visitor.
func New() (*Views, error) {
	v := &Views{sets: map[string]map[string]*template.Template{}}
	pages, err := fs.Glob(templateFS, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, lang := range Languages {
		base, err := template.New("").Funcs(funcs(lang)).ParseFS(templateFS, shared...)
		if err != nil {
			return nil, fmt.Errorf("view: %w", err)
		}
		v.sets[lang] = map[string]*template.Template{}
		for _, file := range pages {
			if err := v.add(lang, base, file); err != nil {
				return nil, fmt.Errorf("view: %w", err)
			}
		}
	}
	return v, nil
}

func (v *Views) add(lang string, base *template.Template, file string) error {
	for _, s := range shared {
		if s == file {
			return nil
		}
	}
	page, err := base.Clone()
	if err != nil {
		return err
	}
	if page, err = page.ParseFS(templateFS, file); err != nil {
		return err
	}
	v.sets[lang][strings.TrimSuffix(path.Base(file), ".html")] = page
	return nil
}

// Names are the pages there are.
func (v *Views) Names() []string {
	var out []string
	for name := range v.sets[Languages[0]] {
		out = append(out, name)
	}
	return out
}

// Render writes a whole page. Nothing is written when the template fails.
func (v *Views) Render(w io.Writer, name string, p *Page) error {
	return v.execute(w, name, "layout", p)
}

// Fragment renders one part of a page again, as live pages need it.
func (v *Views) Fragment(name, part string, p *Page) (string, error) {
	var b strings.Builder
	err := v.execute(&b, name, part, p)
	return b.String(), err
}

func (v *Views) execute(w io.Writer, name, part string, p *Page) error {
	set, ok := v.sets[p.Lang]
	if !ok {
		set = v.sets[Languages[0]]
	}
	page, ok := set[name]
	if !ok {
		return fmt.Errorf("view: no page %q", name)
	}
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, part, p); err != nil {
		return fmt.Errorf("view: page %s: %w", name, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
