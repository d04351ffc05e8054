package recipe

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/dinp/dinp/common/model"
)

const packageName = "package.json"

// runOther is a script that only runs another one.
var runOther = regexp.MustCompile(`^(?:npm|yarn|pnpm) (?:run )?([A-Za-z0-9:._-]+)$`)

// npmStart is what npm start runs, without npm, which as the first process would swallow the stop signal.
func (c Choice) npmStart(texts map[string]string) (Start, error) {
	if !c.has(packageName) {
		return Start{}, nil
	}
	var p struct {
		Main    string            `json:"main"`
		Scripts map[string]string `json:"scripts"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(texts[packageName], "\ufeff")), &p); err != nil {
		return Start{}, model.E(model.CodeBadRuntime, "package.json cannot be read: %v", err).WithNext("correct it (node -p \"require('./package.json')\" shows the place) and upload again")
	}
	line, err := npmScript(p.Scripts, "start")
	switch {
	case err != nil:
		return Start{}, err
	case line != "":
		return Start{Command: shell(line), Reason: "start script of package.json: " + line}, nil
	case c.has("server.js"): // npm's own default
		return Start{Command: []string{"node", "server.js"}, Reason: "server.js"}, nil
	case p.Main != "" && c.has(strings.TrimPrefix(p.Main, "./")):
		return Start{Command: []string{"node", p.Main}, Reason: "main of package.json: " + p.Main}, nil
	}
	return Start{}, nil
}

// npmScript is a script with the one that comes before it, and with those that it only calls by name.
func npmScript(scripts map[string]string, name string) (string, error) {
	const deepest = 8
	for range deepest {
		line := strings.TrimSpace(scripts[name])
		if strings.ContainsAny(line, "\n\x00") {
			return "", npmError("the script %q of package.json is not one line", name)
		}
		other := runOther.FindStringSubmatch(line)
		if other == nil {
			if first, _, _ := strings.Cut(line, " "); first == "npm" || first == "yarn" || first == "pnpm" || first == "npx" {
				return "", npmError("the script %q of package.json runs %s, which is not in the image: %.120q", name, first, line)
			}
			return withBefore(scripts, name, line), nil
		}
		if name = other[1]; scripts[name] == "" {
			return "", npmError("a script of package.json runs the script %q, which is not there", name)
		}
	}
	return "", npmError("the scripts of package.json call each other more than %d times", deepest)
}

// withBefore puts the pre script before a script, as npm does.
func withBefore(scripts map[string]string, name, line string) string {
	before := strings.TrimSpace(scripts["pre"+name])
	if before == "" || line == "" {
		return line
	}
	return fmt.Sprintf("%s && %s", before, shell(line)[2])
}

func npmError(format string, args ...any) error {
	return model.E(model.CodeBadRuntime, format, args...).
		WithNext("name the command itself, such as \"start\": \"node server.js\", or add a Procfile with a line such as \"web: node server.js\", and upload again")
}
