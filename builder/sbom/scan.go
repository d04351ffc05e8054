// Package sbom finds the packages that an unpacked artifact carries, by the metadata their own tools left: jars by
// pom.properties, manifest or name (also jars in jars), node_modules by package.json, Python by dist-info, PHP by
// Composer's lists, Go programs by their build information.
//
// The builder's pipeline calls it on hostile input: it follows no link, reads no more than stated, runs nothing, and a
// file that it cannot read is passed over, because a broken bill of materials must not stop an app that runs.
package sbom

import (
	"archive/zip"
	"cmp"
	"context"
	"debug/buildinfo"
	"io"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// Version is of the scanner: artifacts scanned by an older one are scanned again when they are built again.
const Version = 1

// The bounds of one scan. Past them the bill says that it is incomplete.
const (
	maxComponents = 20_000
	maxMetadata   = 1 << 20   // bytes of one file of metadata that are read
	maxNested     = 256 << 20 // bytes of a compressed jar in a jar that are laid on the disk to be read
	maxDepth      = 3         // of jars in jars
	maxEntries    = 100_000   // of one jar
)

// Bill is what an artifact carries.
type Bill struct {
	Components []model.Component
	Incomplete string // why something may be missing; "" when nothing is
}

// Scan reads the files of a tree. scratch is the path of a file that may be made, and is removed again.
func Scan(ctx context.Context, root *os.Root, files []string, scratch string) (Bill, error) {
	s := &scanner{root: root, scratch: scratch, seen: map[model.Component]bool{}}
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return Bill{}, err
		}
		s.file(ctx, name)
	}
	slices.SortFunc(s.bill.Components, func(a, b model.Component) int {
		return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Path, b.Path))
	})
	return s.bill, ctx.Err()
}

type scanner struct {
	root    *os.Root
	scratch string
	seen    map[model.Component]bool
	bill    Bill
}

// add takes a component that names itself properly.
func (s *scanner) add(ecosystem, name, version, where string) {
	c := model.Component{Ecosystem: ecosystem, Name: clean(name, 255), Version: clean(version, 128), Path: clean(where, 500)}
	switch {
	case c.Name == "" || c.Version == "" || s.seen[c]:
	case len(s.bill.Components) == maxComponents:
		s.bill.Incomplete = "the artifact has more than 20,000 packages"
	default:
		s.seen[c] = true
		s.bill.Components = append(s.bill.Components, c)
	}
}

// clean makes text that comes from a file fit for a table: one line, valid UTF-8, not endless.
func clean(v string, n int) string {
	v = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, strings.TrimSpace(v))
	for len(v) > n {
		v = v[:len(v)-1]
	}
	return strings.ToValidUTF8(v, "")
}

// file looks at one file of the tree.
func (s *scanner) file(ctx context.Context, name string) {
	base := path.Base(name)
	if read := readerOf(name); read == nil && !isJar(name) && !mayBeProgram(base) {
		return
	}
	info, err := s.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	f, err := s.root.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	switch read := readerOf(name); {
	case read != nil:
		read(s, name, f)
	case isJar(name):
		if z, err := zip.NewReader(f, info.Size()); err == nil {
			s.jar(ctx, z, f, name, 1)
		}
	case info.Mode().Perm()&0o111 != 0:
		s.program(f, name)
	}
}

// readerOf returns how a file of metadata is read; nil when it is none.
func readerOf(name string) func(*scanner, string, io.Reader) {
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	switch {
	case base == "package.json" && inNodeModules(dir):
		return (*scanner).packageJSON
	case base == "METADATA" && strings.HasSuffix(dir, ".dist-info"), base == "PKG-INFO" && strings.HasSuffix(dir, ".egg-info"):
		return (*scanner).pythonMetadata
	case base == "installed.json" && (dir == "vendor/composer" || strings.HasSuffix(dir, "/vendor/composer")), base == "composer.lock":
		return (*scanner).composer
	}
	return nil
}

// mayBeProgram spares opening the many files whose extension says that they are no program.
func mayBeProgram(base string) bool {
	ext := path.Ext(base)
	return ext == "" || len(ext) > 5 || ext == ".bin" || ext == ".exe" || strings.Trim(ext[1:], "0123456789") == ""
}

// program reads the build information that Go leaves in what it links.
func (s *scanner) program(f *os.File, where string) {
	if info, err := buildinfo.Read(f); err == nil {
		s.modules(info, where)
	}
}

func (s *scanner) modules(info *debug.BuildInfo, where string) {
	if strings.HasPrefix(info.GoVersion, "go") {
		s.add(model.EcosystemGo, "stdlib", strings.TrimPrefix(info.GoVersion, "go"), where)
	}
	if info.Main.Path != "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		s.add(model.EcosystemGo, info.Main.Path, info.Main.Version, where)
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		s.add(model.EcosystemGo, dep.Path, dep.Version, where)
	}
}
