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

// ReadsProcfile reports whether Start needs the Procfile's text.
func (c Choice) ReadsProcfile() bool {
	return slices.Contains(c.Runtime.Start, StartProcfile) && c.has(Procfile)
}

// Start finds the start command. procfile is the Procfile's text when ReadsProcfile says so.
func (c Choice) Start(procfile string) (Start, error) {
	for _, way := range c.Runtime.Start {
		switch programs := (view{files: c.Files}).programs(); {
		case way == StartProcfile && c.has(Procfile):
			line, err := webLine(procfile)
			return Start{Command: shell(line), Reason: fmt.Sprintf("web line of the Procfile: %s", line)}, err
		case way == StartControl && c.has("control"):
			return Start{Command: shell("./control start"), Reason: "control script: ./control start"}, nil
		case way == StartExecutable && len(programs) == 1:
			return Start{Command: []string{"./" + programs[0]}, Reason: "the only program: ./" + programs[0]}, nil
		}
	}
	if len(c.Runtime.Start) > 0 && c.Runtime.Command == nil {
		return Start{}, c.noStart()
	}
	if c.Runtime.Command == nil {
		return Start{Reason: "the base image's own"}, nil
	}
	return Start{Command: c.Runtime.Command, Reason: "the runtime's own: " + strings.Join(c.Runtime.Command, " ")}, nil
}

func (c Choice) noStart() error {
	why := "no program is at its root"
	if p := (view{files: c.Files}).programs(); len(p) > 1 {
		why = fmt.Sprintf("%d programs are at its root (%s)", len(p), strings.Join(p[:min(len(p), 5)], ", "))
	}
	return model.E(model.CodeBadRuntime, "runtime %s cannot tell what to start: there is no Procfile, and %s", c.Runtime.Name, why).
		WithNext("add a Procfile with a line such as \"web: ./app --port $PORT\" at the root and upload again")
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
