package recipe

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// pythonNames are the sources in which an application is looked for, in this order. Django writes both wsgi.py and
// asgi.py; its projects are written for the first.
var pythonNames = []string{"wsgi.py", "app.py", "main.py", "application.py", "server.py", "run.py", "asgi.py", "*/wsgi.py", "*/asgi.py", "*/main.py", "*/app.py"}

// maxPythonSources bounds what is read: more packages than this side by side are no project but libraries.
const maxPythonSources = 40

// pythonSources are the artifact's files with those names, libraries aside.
func (c Choice) pythonSources() []string {
	var out []string
	for _, glob := range pythonNames {
		for _, f := range c.Files {
			if !f.Dir && f.Link == "" && globMatches(glob, f.Path) && !c.InLibraries(f.Path) && len(out) < maxPythonSources {
				out = append(out, f.Path)
			}
		}
	}
	return out
}

// InLibraries reports whether a path is of a layer group with other people's code.
func (c Choice) InLibraries(p string) bool {
	return slices.ContainsFunc(c.Runtime.Layers, func(g LayerGroup) bool {
		return !g.Own && slices.ContainsFunc(g.Files, func(glob string) bool { return globMatches(glob, p) })
	})
}

var (
	pyASGI = regexp.MustCompile(`(?m)^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*(?:FastAPI|Starlette|Quart|Litestar|Sanic|get_asgi_application|ProtocolTypeRouter|asgi\.App)\(`)
	pyWSGI = regexp.MustCompile(`(?m)^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*(?:Flask|Bottle|default_app|get_wsgi_application|make_wsgi_app|create_app|App|API|WSGIApplication)\(`)
	pyDef  = regexp.MustCompile(`(?m)^(async +)?def +(application|app)\s*\(`)
	pyName = regexp.MustCompile(`(?m)^(application|app)\s*(?::[^=\n]+)?=[^=]`)
)

// pythonStart finds the application that a source defines at its top level.
func (c Choice) pythonStart(texts map[string]string) Start {
	for _, source := range c.pythonSources() {
		name, kind := pythonApp(source, texts[source])
		if name == "" {
			continue
		}
		module := strings.ReplaceAll(strings.TrimSuffix(source, ".py"), "/", ".") + ":" + name
		s := Start{Command: c.launch(module), Reason: fmt.Sprintf("%s application %s", kind, module)}
		if kind == "ASGI" {
			s.Command = c.launch("--worker-class", "uvicorn.workers.UvicornWorker", module)
		}
		return s
	}
	return Start{}
}

// pythonApp finds the variable or function that is the application, and the interface it is for.
func pythonApp(source, text string) (name, kind string) {
	if m := pyASGI.FindStringSubmatch(text); m != nil {
		return m[1], "ASGI"
	}
	if m := pyWSGI.FindStringSubmatch(text); m != nil {
		return m[1], "WSGI"
	}
	if m := pyDef.FindStringSubmatch(text); m != nil {
		if m[1] != "" {
			return m[2], "ASGI"
		}
		return m[2], "WSGI"
	}
	if m := pyName.FindStringSubmatch(text); m != nil {
		if path.Base(source) == "asgi.py" {
			return m[1], "ASGI"
		}
		return m[1], "WSGI"
	}
	return "", ""
}
