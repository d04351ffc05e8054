package recipe

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
)

// Dockerfile writes the Dockerfile of a runtime that must run something at build time (BuildTemplate). The template sees
// .Base (the base image), .Dest, .Owner, .Workdir, .User, .Env, .Labels and .Command, and json to write the last one.
func (c Choice) Dockerfile(s Start) (string, error) {
	t, err := template.New(c.Runtime.Name).Option("missingkey=error").Funcs(template.FuncMap{"json": toJSON}).Parse(c.Runtime.Template)
	if err != nil {
		return "", fmt.Errorf("dockerfile of runtime %s: %w", c.Runtime.Name, err)
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{
		"Base": c.Runtime.Base, "Dest": c.Runtime.Dest, "Owner": c.Runtime.Owner, "Workdir": c.Runtime.Workdir,
		"User": c.Runtime.User, "Env": c.Runtime.Env, "Labels": c.Runtime.Labels, "Command": s.Command,
	})
	if err != nil {
		return "", fmt.Errorf("dockerfile of runtime %s: %w", c.Runtime.Name, err)
	}
	return b.String(), nil
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
