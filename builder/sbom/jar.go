package sbom

import (
	"archive/zip"
	"bufio"
	"context"
	"io"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/dinp/dinp/common/model"
)

func isJar(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jar", ".war", ".ear":
		return true
	}
	return false
}

// jar reads what an archive says of itself, and the archives in it. file holds the bytes that z reads.
func (s *scanner) jar(ctx context.Context, z *zip.Reader, file io.ReaderAt, where string, depth int) {
	if len(z.File) > maxEntries {
		s.bill.Incomplete = where + " has more entries than are looked at"
		return
	}
	found := false
	var manifest *zip.File
	for _, f := range z.File {
		switch {
		case ctx.Err() != nil:
			return
		case strings.HasPrefix(f.Name, "META-INF/maven/") && path.Base(f.Name) == "pom.properties":
			found = s.pom(f, where) || found
		case f.Name == "META-INF/MANIFEST.MF":
			manifest = f
		case isJar(f.Name):
			s.nested(ctx, f, file, where, depth)
		}
	}
	if !found && strings.HasSuffix(strings.ToLower(where), ".jar") {
		s.unnamed(manifest, where)
	}
}

// nested reads an archive in an archive: in place when it is only stored, as Spring Boot does it, else through the disk.
func (s *scanner) nested(ctx context.Context, f *zip.File, file io.ReaderAt, where string, depth int) {
	where += "!" + f.Name
	if depth == maxDepth {
		s.bill.Incomplete = where + " lies deeper than is looked at"
		return
	}
	if f.Method == zip.Store {
		at, err := f.DataOffset()
		if err != nil {
			return
		}
		in := io.NewSectionReader(file, at, int64(f.UncompressedSize64))
		if z, err := zip.NewReader(in, in.Size()); err == nil {
			s.jar(ctx, z, in, where, depth+1)
		}
		return
	}
	s.unpacked(ctx, f, where, depth)
}

// unpacked lays a compressed archive on the disk, reads it and removes it.
func (s *scanner) unpacked(ctx context.Context, f *zip.File, where string, depth int) {
	src, err := f.Open()
	if err != nil {
		return
	}
	defer src.Close()
	tmp, err := os.CreateTemp(path.Dir(s.scratch), path.Base(s.scratch)+"-*")
	if err != nil {
		s.bill.Incomplete = where + " could not be unpacked"
		return
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	n, err := io.Copy(tmp, io.LimitReader(src, maxNested+1))
	if err != nil || n > maxNested {
		s.bill.Incomplete = where + " could not be unpacked"
		return
	}
	if z, err := zip.NewReader(tmp, n); err == nil {
		s.jar(ctx, z, tmp, where, depth+1)
	}
}

// pom reads Maven's pom.properties; shaded jars have one for each jar that went into them.
func (s *scanner) pom(f *zip.File, where string) bool {
	p := properties(f, "=")
	if p["groupId"] == "" || p["artifactId"] == "" || p["version"] == "" {
		return false
	}
	s.add(model.EcosystemMaven, p["groupId"]+":"+p["artifactId"], p["version"], where)
	return true
}

// versioned tells name and version of a jar's file name apart: log4j-core-2.14.1.jar.
var versioned = regexp.MustCompile(`^(.+?)-(\d[\w.+-]*)$`)

// unnamed finds name and version of a jar that Maven did not make: by its manifest, else by its file name.
func (s *scanner) unnamed(manifest *zip.File, where string) {
	m := map[string]string{}
	if manifest != nil {
		m = properties(manifest, ":")
	}
	base := strings.TrimSuffix(where[max(strings.LastIndexAny(where, "/!"), -1)+1:], path.Ext(where))
	byName := versioned.FindStringSubmatch(base)
	version := first(m["Implementation-Version"], m["Bundle-Version"], m["Specification-Version"])
	if byName != nil {
		s.add(model.EcosystemMaven, byName[1], byName[2], where)
		return
	}
	symbolic, _, _ := strings.Cut(m["Bundle-SymbolicName"], ";")
	s.add(model.EcosystemMaven, first(symbolic, m["Automatic-Module-Name"], base), version, where)
}

func first(of ...string) string {
	for _, v := range of {
		if v != "" {
			return v
		}
	}
	return ""
}

// properties reads lines of "name=value" or "name: value", those of the first block only.
func properties(f *zip.File, separator string) map[string]string {
	out := map[string]string{}
	r, err := f.Open()
	if err != nil {
		return out
	}
	defer r.Close()
	lines := bufio.NewScanner(io.LimitReader(r, maxMetadata))
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" && len(out) > 0 {
			break
		}
		if k, v, ok := strings.Cut(lines.Text(), separator); ok && !strings.HasPrefix(k, "#") {
			out[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return out
}
