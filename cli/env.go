package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) envCommand() *cobra.Command {
	var w waitFlags
	cmd := c.command(spec{use: "env APP [set K=V… | unset K… | import FILE | export]", short: "Show or change an app's environment",
		long: "Show or change an app's environment. A change is a new release that takes over without downtime.\n" +
			"import reads a file of K=V lines (- for standard input), which keeps secrets off the command line; export writes one.",
		example: "  dinp env shop\n  dinp env shop set GREETING=hello LANG=en\n  dinp env shop unset GREETING\n  dinp env shop import .env\n  dinp env shop export > .env",
		args:    cobra.MinimumNArgs(1), complete: appThen("set", "unset", "import", "export"), list: true,
		run: func(ctx context.Context, s *session, args []string) error { return s.env(ctx, args, w) }})
	w.add(cmd)
	return cmd
}

func (s *session) env(ctx context.Context, args []string, w waitFlags) error {
	app, verb, words := args[0], "", []string(nil)
	if len(args) > 1 {
		verb, words = args[1], args[2:]
	}
	switch {
	case verb == "" || verb == "export" && len(words) == 0:
		return s.showEnv(ctx, app, verb == "export")
	case verb == "set" && len(words) > 0:
		env, err := pairs(words)
		if err != nil {
			return err
		}
		return s.roll(ctx, http.MethodPatch, "env", app, api.EditEnv{Set: env}, w)
	case verb == "unset" && len(words) > 0:
		return s.roll(ctx, http.MethodPatch, "env", app, api.EditEnv{Unset: words}, w)
	case verb == "import" && len(words) == 1:
		env, err := s.readEnv(words[0])
		if err != nil {
			return err
		}
		return s.roll(ctx, http.MethodPatch, "env", app, api.EditEnv{Set: env}, w)
	}
	return usage(s.cmd, fmt.Errorf("say set K=V…, unset K…, import FILE or export"))
}

func (s *session) showEnv(ctx context.Context, app string, file bool) error {
	if err := appArg(app); err != nil {
		return err
	}
	e, err := get[api.Env](ctx, s.api, at("apps", app, "env"))
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, e.Env)
	}
	for _, k := range slices.Sorted(maps.Keys(e.Env)) {
		v := clean(e.Env[k])
		if file {
			v = quoteEnv(e.Env[k])
		}
		fmt.Fprintf(s.out, "%s=%s\n", k, v)
	}
	return nil
}

func (s *session) readEnv(path string) (map[string]string, error) {
	if path == "-" {
		return parseEnv(s.in, "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, model.E(model.CodeBadRequest, "%v", err)
	}
	defer f.Close()
	return parseEnv(f, path)
}

// quoteEnv writes a value so that parseEnv and shells read the same again.
func quoteEnv(v string) string {
	if v != "" && strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,") == "" {
		return v
	}
	if !strings.ContainsAny(v, "'\n") {
		return "'" + v + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`", "\n", `\n`).Replace(v) + `"`
}

// parseEnv reads K=V lines, with comments, "export ", and either kind of
// quotes. Errors name the line and never its text, which may be a secret.
func parseEnv(r io.Reader, name string) (map[string]string, error) {
	env := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, model.MaxEnvBytes+1024)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		k, v, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if ok {
			v, ok = unquoteEnv(strings.TrimSpace(v))
		}
		if !ok {
			return nil, model.E(model.CodeBadEnv, "line %d of %s is not NAME=value", n, name).WithNext(`quote values with spaces: NAME="a value"`)
		}
		env[strings.TrimSpace(k)] = v
	}
	if err := lines.Err(); err != nil {
		return nil, model.E(model.CodeBadEnv, "%s: %v", name, err)
	}
	if len(env) == 0 {
		return nil, model.E(model.CodeBadEnv, "%s holds no variables", name)
	}
	return env, model.CheckEnv(env)
}

func unquoteEnv(v string) (string, bool) {
	switch {
	case v == "" || v[0] != '"' && v[0] != '\'':
		if i := strings.Index(v, " #"); i >= 0 {
			v = strings.TrimSpace(v[:i])
		}
		return v, true
	case len(v) < 2 || v[len(v)-1] != v[0]:
		return "", false
	case v[0] == '\'':
		return v[1 : len(v)-1], !strings.Contains(v[1:len(v)-1], "'")
	}
	out, err := strconv.Unquote(strings.NewReplacer(`\\`, `\\`, `\$`, "$", "\\`", "`").Replace(v))
	return out, err == nil
}
