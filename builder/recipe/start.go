package recipe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// Procfile is the file whose text Start wants, at the root of the artifact as chosen.
const Procfile = "Procfile"

// Start is how an image's process is started.
type Start struct {
	Command []string // nil: the base image's own
	Reason  string   // for people
}

// Texts lists the files of the artifact whose text Start wants.
func (c Choice) Texts() []string {
	var out []string
	for _, way := range c.Runtime.Start {
		switch way {
		case StartProcfile:
			out = append(out, c.those(Procfile)...)
		case StartManifest:
			out = append(out, c.those(manifestName)...)
		case StartNpm:
			out = append(out, c.those(packageName)...)
		case StartPython:
			out = append(out, c.pythonSources()...)
		}
	}
	return out
}

// Start finds the start command. texts holds what Texts asked for.
func (c Choice) Start(texts map[string]string) (Start, error) {
	for _, way := range c.Runtime.Start {
		s, err := c.try(way, texts)
		if err != nil || s.Reason != "" {
			return s, err
		}
	}
	if len(c.Runtime.Start) > 0 && c.Runtime.Command == nil {
		return Start{}, c.noStart()
	}
	if c.Runtime.Command == nil {
		return Start{Reason: "the base image's own command"}, nil
	}
	return Start{Command: c.Runtime.Command, Reason: "the runtime's own: " + strings.Join(c.Runtime.Command, " ")}, nil
}

// try looks for the command in one way; a Start without a reason means that there is none.
func (c Choice) try(way string, texts map[string]string) (Start, error) {
	switch way {
	case StartProcfile:
		if !c.has(Procfile) {
			return Start{}, nil
		}
		line, err := webLine(texts[Procfile])
		return Start{Command: shell(line), Reason: fmt.Sprintf("web line of the Procfile: %s", line)}, err
	case StartControl:
		if c.has("control") {
			return Start{Command: shell("./control start"), Reason: "control script: ./control start"}, nil
		}
	case StartExecutable:
		if programs := (view{files: c.Files}).programs(); len(programs) == 1 {
			return Start{Command: []string{"./" + programs[0]}, Reason: "the only program: ./" + programs[0]}, nil
		}
	case StartManifest:
		return c.manifestStart(texts)
	case StartJar:
		return c.jarStart(), nil
	case StartNpm:
		return c.npmStart(texts)
	case StartPython:
		return c.pythonStart(texts), nil
	}
	return Start{}, nil
}

// noStart says what each way has looked for in vain.
func (c Choice) noStart() error {
	var looked []string
	for _, way := range c.Runtime.Start {
		looked = append(looked, c.missing(way))
	}
	example := "./app --port $PORT"
	if c.Runtime.Example != "" {
		example = c.Runtime.Example
	}
	return model.E(model.CodeBadRuntime, "runtime %s cannot tell what to start: %s", c.Runtime.Name, strings.Join(looked, ", ")).
		WithNext("add a Procfile with a line such as \"web: %s\" at the root and upload again", example)
}

func (c Choice) missing(way string) string {
	switch way {
	case StartControl:
		return "no control script"
	case StartExecutable:
		if p := (view{files: c.Files}).programs(); len(p) > 1 {
			return fmt.Sprintf("%d programs are at its root (%s)", len(p), strings.Join(p[:min(len(p), 5)], ", "))
		}
		return "no program is at its root"
	case StartManifest:
		return "no main class in META-INF/MANIFEST.MF"
	case StartJar:
		return fmt.Sprintf("%d .jar files at its root", len(c.jars()))
	case StartNpm:
		return "no start script in package.json and no server.js"
	case StartPython:
		return "no WSGI or ASGI application in " + strings.Join(pythonNames, ", ")
	}
	return "there is no Procfile"
}

// those returns the name if the artifact has such a file.
func (c Choice) those(name string) []string {
	if c.has(name) {
		return []string{name}
	}
	return nil
}

func (c Choice) has(p string) bool {
	return slices.ContainsFunc(c.Files, func(f File) bool { return f.Path == p && !f.Dir })
}

var procLine = regexp.MustCompile(`^([A-Za-z0-9_-]+)\s*:\s*(.*)$`)

// webLine returns the command of the process type web.
func webLine(procfile string) (string, error) {
	var types []string
	web := ""
	procfile = strings.TrimPrefix(procfile, "\ufeff")
	for i, line := range strings.Split(procfile, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := procLine.FindStringSubmatch(line)
		if m == nil || m[2] == "" || strings.ContainsRune(line, 0) {
			return "", procfileError("line %d of the Procfile is not \"type: command\": %.80q", i+1, line)
		}
		if slices.Contains(types, m[1]) {
			return "", procfileError("line %d of the Procfile names %q a second time", i+1, m[1])
		}
		types = append(types, m[1])
		if m[1] == "web" {
			web = m[2]
		}
	}
	if web == "" {
		return "", procfileError("the Procfile has no web line; its types are %.80q", types)
	}
	return web, nil
}

func procfileError(format string, args ...any) error {
	return model.E(model.CodeBadRuntime, format, args...).
		WithNext("write it as \"web: ./app --port $PORT\" and upload again")
}

// shellWords are words a command may begin with that exec cannot run, or that mean more than one command follows.
var shellWords = strings.Fields(". : ! { ( [[ alias bg case cd command eval exec exit export fg for function if local read " +
	"readonly return set shift source test time times trap type ulimit umask unalias unset until wait while")

// shell makes the argument vector of a command line. A simple command replaces its shell, so that the application is the
// container's first process and gets the stop signal; anything else is left to the shell as it stands.
func shell(line string) []string {
	word, _, _ := strings.Cut(line, " ")
	simple := !strings.ContainsAny(line, ";|&\n`(){}") && !slices.Contains(shellWords, word) && !strings.Contains(word, "=")
	if simple {
		line = "exec " + line
	}
	return []string{"/bin/sh", "-c", line}
}
