package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dinp/dinp/agent"
	"github.com/dinp/dinp/builder"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash"
	"github.com/dinp/dinp/hm"
	"github.com/dinp/dinp/router"
	"github.com/dinp/dinp/server"
)

// config is the configuration file: what parts share stands at the top, each
// part's own in its section. One file can serve every host of a cluster.
type config struct {
	shared  `yaml:",inline"`
	Server  server.Config  `yaml:"server"`
	Agent   agent.Config   `yaml:"agent"`
	Builder builder.Config `yaml:"builder"`
	Dash    dash.Config    `yaml:"dash"`
	Router  router.Config  `yaml:"router"`
	HM      hm.Config      `yaml:"hm"`
}

// shared is what several parts must agree on; a part's own section overrides it.
type shared struct {
	Database   string             `yaml:"database" help:"where everything but routes and images is kept: mysql:USER:PASSWORD@tcp(HOST:3306)/dinp, or sqlite:PATH; needed by server, builder and dash"`
	Redis      router.RedisConfig `yaml:"redis"` // of the routes
	SecretFile string             `yaml:"secret_file" help:"file of the cluster's secret, the same on every host of a server, builder or dash, and of a router that answers HTTPS"`
	Servers    []string           `yaml:"servers" help:"gRPC addresses of the servers, host:port, for every part that does not name its own"`
	Registry   string             `yaml:"registry" help:"host:port of the image registry, for every part that does not name its own"`
	Domain     string             `yaml:"domain" help:"apps answer on <app>.<domain>; for server and dash, unless they name their own"`
	Log        logConfig          `yaml:"log"`
}

type logConfig struct {
	Level  string `yaml:"level" help:"how much is logged: debug, info, warn or error"`
	Format string `yaml:"format" help:"how it is logged: text or json"`
}

func defaults() config {
	return config{
		shared: shared{Log: logConfig{Level: "info", Format: "text"}, Redis: router.Default().Redis},
		Server: server.Default(), Agent: agent.Default(), Builder: builder.Default(), Dash: dash.Default(), Router: router.Default(), HM: hm.Default(),
	}
}

// loadConfig reads the file (path "" for none) and the environment over the
// defaults. A key that is not known is an error: a misspelt setting must not be
// ignored.
func loadConfig(path string) (config, error) {
	c := defaults()
	text, err := readConfig(path)
	if err != nil {
		return c, err
	}
	top := c.shared
	if err := decodeYAML(text, &top, false); err != nil {
		return c, badFile(path, err)
	}
	if err := applyEnv(settings("", reflect.ValueOf(&top).Elem())); err != nil {
		return c, err
	}
	c.share(top)
	if err := decodeYAML(text, &c, true); err != nil {
		return c, badFile(path, err)
	}
	return c, applyEnv(settings("", reflect.ValueOf(&c).Elem()))
}

func readConfig(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, model.E(model.CodeBadConfig, "there is no configuration file %s", path).WithNext("copy deploy/dinp.yml and edit it")
	}
	return text, err
}

func badFile(path string, err error) error {
	return model.E(model.CodeBadConfig, "%s: %v", path, err).WithNext("compare with deploy/dinp.yml")
}

func decodeYAML(text []byte, into any, strict bool) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(strict)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// share hands the shared values to the parts, before their own sections are read.
func (c *config) share(s shared) {
	c.shared = s
	c.Router.Redis = s.Redis
	if len(s.Servers) > 0 {
		c.Agent.Servers, c.Builder.Servers, c.Dash.Servers, c.HM.Servers = s.Servers, s.Servers, s.Servers, s.Servers
	}
	if s.Registry != "" {
		c.Agent.Registry, c.Builder.Registry, c.Dash.Registry = s.Registry, s.Registry, s.Registry
	}
	if s.Domain != "" {
		c.Server.Domain, c.Dash.Domain = s.Domain, s.Domain
	}
}

// secret reads the cluster's secret.
func (s shared) secret() (string, error) {
	if s.SecretFile == "" {
		return "", model.E(model.CodeBadConfig, "the file of the cluster's secret is not named").
			WithNext("make one with: (umask 077; openssl rand -hex 32 > secret), copy it to every host, and name it with --secret-file")
	}
	text, err := os.ReadFile(s.SecretFile)
	if err != nil {
		return "", model.E(model.CodeBadConfig, "the cluster's secret cannot be read: %v", err)
	}
	v := strings.TrimSpace(string(text))
	if len(v) < 16 {
		return "", model.E(model.CodeBadConfig, "the cluster's secret in %s has %d characters; at least 16 are needed", s.SecretFile, len(v))
	}
	return v, nil
}

// newLogger makes the logger of a process.
func newLogger(c logConfig, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, model.E(model.CodeBadConfig, "log.level %q is not debug, info, warn or error", c.Level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch c.Format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, model.E(model.CodeBadConfig, "log.format %q is not text or json", c.Format)
}
