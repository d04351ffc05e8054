package sbom

import (
	"bufio"
	"encoding/json"
	"io"
	"path"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// inNodeModules reports whether a folder is a package's own: node_modules/name or node_modules/@scope/name, and not one
// of the folders within a package, whose package.json only tells how its modules are loaded.
func inNodeModules(dir string) bool {
	parent := path.Dir(dir)
	if strings.HasPrefix(path.Base(parent), "@") {
		parent = path.Dir(parent)
	}
	return path.Base(parent) == "node_modules"
}

func (s *scanner) packageJSON(name string, r io.Reader) {
	var p struct{ Name, Version string }
	if json.NewDecoder(io.LimitReader(r, maxMetadata)).Decode(&p) == nil {
		s.add(model.EcosystemNPM, p.Name, p.Version, path.Dir(name))
	}
}

// pythonMetadata reads the head of METADATA or PKG-INFO, which is one of an e-mail.
func (s *scanner) pythonMetadata(name string, r io.Reader) {
	found := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(r, maxMetadata))
	for lines.Scan() && lines.Text() != "" {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok {
			found[strings.ToLower(k)] = strings.TrimSpace(v)
		}
	}
	s.add(model.EcosystemPyPI, normalPython(found["name"]), found["version"], path.Dir(name))
}

// normalPython is a package's name as PyPI compares it: lower case, runs of "-", "_" and "." as one "-".
func normalPython(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '-' || r == '_' || r == '.' }), "-")
}

// composer reads composer.lock, or the installed.json of either major version of Composer.
func (s *scanner) composer(name string, r io.Reader) {
	type pkg struct{ Name, Version string }
	text, err := io.ReadAll(io.LimitReader(r, 16*maxMetadata))
	if err != nil {
		return
	}
	var list struct{ Packages []pkg }
	if json.Unmarshal(text, &list) != nil && json.Unmarshal(text, &list.Packages) != nil {
		return
	}
	for _, p := range list.Packages {
		s.add(model.EcosystemComposer, strings.ToLower(p.Name), strings.TrimPrefix(p.Version, "v"), path.Dir(name))
	}
}
