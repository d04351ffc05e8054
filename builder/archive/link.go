package archive

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"
)

// symlink checks a symbolic link and remembers it: it is made when all files are written. os.Root would refuse to write
// through an escaping link, but not to make one, and what runs later does not look through os.Root.
func (t *tree) symlink(name, target string) error {
	bad := func(why string) error {
		return hostile("the symbolic link %s points to %s, %s", quote(name), quote(target), why)
	}
	switch {
	case target == "" || len(target) > t.limits.PathBytes || strings.ContainsRune(target, 0) || !utf8.ValidString(target):
		return bad("which is not a usable path")
	case path.IsAbs(target):
		return bad("an absolute path; only links within the archive are allowed")
	}
	if p := path.Join(path.Dir(name), target); p == ".." || strings.HasPrefix(p, "../") {
		return bad("which is outside the archive")
	}
	t.names += int64(len(target))
	t.links = append(t.links, File{Path: name, Link: target})
	return t.checkEntries()
}

// hardlink makes a second name for a file that came earlier. It counts like a copy, because in the image it is one: many
// links to one big file are a bomb too.
func (t *tree) hardlink(name, target string) error {
	clean, err := t.cleanName("hard link target", target)
	if err != nil {
		return err
	}
	i, ok := t.find(clean)
	if !ok {
		return broken("the hard link %s points to %s, which is no file earlier in the archive", quote(name), quote(target))
	}
	if err := t.dir(path.Dir(name)); err != nil {
		return err
	}
	f := t.files[i]
	if err := t.grow(name, f.Size, f.Size); err != nil {
		return err
	}
	if err := t.root.Link(clean, name); err != nil {
		return conflict(name, err)
	}
	f.Path = name
	t.add(f)
	return nil
}

func (t *tree) find(name string) (int, bool) {
	if t.index == nil {
		t.index = make(map[string]int, len(t.files))
		for i, f := range t.files {
			t.index[f.Path] = i
		}
	}
	i, ok := t.index[name]
	return i, ok
}

// makeLinks makes the symbolic links and then follows each: links that lead through other links can escape although each
// looks harmless alone.
func (t *tree) makeLinks() error {
	if err := t.checkEntries(); err != nil {
		return err
	}
	for _, l := range t.links {
		if err := t.dir(path.Dir(l.Path)); err != nil {
			return err
		}
		if err := t.root.Symlink(l.Link, l.Path); err != nil {
			return conflict(l.Path, err)
		}
	}
	for _, l := range t.links {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		if err := t.follow(l); err != nil {
			return err
		}
	}
	t.files = append(t.files, t.links...)
	t.links = nil
	return nil
}

// follow lets os.Root resolve a link. One that leads nowhere yet is fine: the application may make its target.
func (t *tree) follow(l File) error {
	if _, err := t.root.Stat(l.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hostile("the symbolic link %s to %s does not stay in the archive: it loops or leads outside by way of other links",
			quote(l.Path), quote(l.Link)).WithCause(err)
	}
	return nil
}
