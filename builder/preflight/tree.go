package preflight

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// links finds symbolic links that lead nowhere. Those that lead outside do not come so far: no archive with one is unpacked.
func (c *check) links() {
	there := map[string]bool{".": true}
	for _, f := range c.Choice.Files {
		there[f.Path] = true
	}
	var dangling []string
	for _, f := range c.Choice.Files {
		if f.Link == "" {
			continue
		}
		target := path.Join(path.Dir(f.Path), f.Link)
		if there[target] {
			continue
		}
		if _, err := c.Root.Stat(c.Choice.Top + f.Path); err != nil {
			dangling = append(dangling, fmt.Sprintf("%s -> %s", quoted(f.Path), quoted(f.Link)))
		}
	}
	if len(dangling) > 0 {
		c.warn("links", "pack what they lead to, or pack the files instead of the links (tar --dereference)",
			"%d symbolic links lead nowhere", len(dangling)).Evidence = examples(dangling)
	}
}

// nested finds archives in the archive, which nothing unpacks. A site may offer them.
func (c *check) nested() {
	if c.Choice.Runtime.Name == "static" {
		return
	}
	var found []string
	c.files(func(f recipe.File) bool {
		if !strings.Contains(f.Path, "/") && hasSuffix(f.Path, ".zip", ".tar.gz", ".tgz", ".tar", ".war", ".ear", ".7z", ".rar") {
			found = append(found, fmt.Sprintf("%s, %s", quoted(f.Path), size(f.Size)))
		}
		return true
	})
	if len(found) > 0 {
		c.warn("nested-archive", "if one of them is the application, upload that file itself; if it is not needed, leave it out",
			"%d archives lie at the root of the artifact; nothing unpacks them", len(found)).Evidence = examples(found)
	}
}

// collisions finds names that differ only in their case: two files here, one on the machines of many who pack.
func (c *check) collisions() {
	lower := map[string]string{}
	var found []string
	for _, f := range c.Choice.Files {
		key := strings.ToLower(f.Path)
		if first, ok := lower[key]; ok {
			found = append(found, quoted(first)+" and "+quoted(f.Path))
			continue
		}
		lower[key] = f.Path
	}
	if len(found) > 0 {
		c.warn("names", "rename one of each: on Windows and macOS only one of them exists",
			"%d names differ from others only in their case", len(found)).Evidence = examples(found)
	}
}

// kept is how many of the largest files a report keeps, for comparison with the next build.
const kept = 100

func largest(files []recipe.File) []model.FileSize {
	var out []model.FileSize
	for _, f := range files {
		if !f.Dir && f.Link == "" {
			out = append(out, model.FileSize{Path: f.Path, Bytes: f.Size})
		}
	}
	slices.SortFunc(out, func(a, b model.FileSize) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Path, b.Path))
	})
	return slices.Clip(slices.Clone(out[:min(len(out), kept)]))
}

// Growth that is worth a word: half as much again, and more than people notice.
const (
	growthFactor = 1.5
	growthBytes  = 10 << 20
)

// growth compares the size with that of the build before and names the largest new files.
func (c *check) growth() {
	if c.Before == nil || c.Before.Report.Bytes == 0 {
		return
	}
	total := int64(0)
	c.files(func(f recipe.File) bool { total += f.Size; return true })
	old := c.Before.Report.Bytes
	if float64(total) < growthFactor*float64(old) || total-old < growthBytes {
		return
	}
	before := map[string]int64{}
	for _, f := range c.Before.Report.Largest {
		before[f.Path] = f.Bytes
	}
	var news []string
	for _, f := range largest(c.Choice.Files) {
		if was, ok := before[f.Path]; !ok {
			news = append(news, fmt.Sprintf("%s, %s, new", quoted(f.Path), size(f.Bytes)))
		} else if f.Bytes > was {
			news = append(news, fmt.Sprintf("%s, %s, was %s", quoted(f.Path), size(f.Bytes), size(was)))
		}
	}
	c.warn("growth", "if that was not meant, leave the files out and upload again",
		"the artifact has %s unpacked, %s has %s", size(total), c.before(), size(old)).Evidence = examples(news)
}

func (c *check) before() string {
	if c.Before.Release > 0 {
		return fmt.Sprintf("v%d", c.Before.Release)
	}
	return "the build before"
}

// same says that nothing has changed.
func (c *check) same() {
	if c.Same > 0 {
		c.warn("identical", fmt.Sprintf("if you meant to deploy a change, pack again; to go back, dinp rollback APP v%d needs no upload", c.Same),
			"the artifact is identical to that of v%d", c.Same)
	}
}
