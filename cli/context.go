package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dinp/dinp/common/model"
)

// contextFile holds the servers a person has logged in to, with their tokens.
const contextFile = "context.yaml"

// contexts is the content of the context file.
type contexts struct {
	Current  string            `yaml:"current"`
	Contexts map[string]server `yaml:"contexts"`
}

// server is one server and who we are there.
type server struct {
	URL     string `yaml:"url"`
	Token   string `yaml:"token"`
	User    string `yaml:"user"`
	TokenID string `yaml:"token_id,omitempty"` // so that logout can revoke it
}

// SaveContext makes name the current context of the client whose folder is
// dir ("" for the user's own, see Home). `dinp up` calls it, so that commands
// work at once on its machine.
func SaveContext(dir, name, url, token, user string) error {
	return saveServer(dir, name, server{URL: url, Token: token, User: user})
}

func saveServer(dir, name string, v server) error {
	if dir == "" {
		dir = Home(os.Getenv)
	}
	c, err := loadContexts(dir)
	if err != nil {
		return err
	}
	c.Current, c.Contexts[name] = name, v
	return c.save(dir)
}

// Home returns the client's folder: $DINP_HOME, or dinp in the user's
// configuration folder.
func Home(getenv func(string) string) string {
	if dir := getenv("DINP_HOME"); dir != "" {
		return dir
	}
	if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "dinp")
	}
	return filepath.Join(getenv("HOME"), ".config", "dinp")
}

func loadContexts(dir string) (contexts, error) {
	c := contexts{Contexts: map[string]server{}}
	path := filepath.Join(dir, contextFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, model.E(model.CodeBadConfig, "%s: %v", path, err).WithNext("mend it, or delete it and run: dinp login URL")
	}
	if c.Contexts == nil {
		c.Contexts = map[string]server{}
	}
	return c, nil
}

// save writes the file by rename, because a reader must never meet half of it,
// and readable by its owner alone, because it holds tokens.
func (c contexts) save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+contextFile+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", contextFile, err)
	}
	return os.Rename(f.Name(), filepath.Join(dir, contextFile))
}

// server returns the server that this invocation talks to. DINP_URL and
// DINP_TOKEN win; a token of the file is used only for the URL it was made for.
func (c *console) server() (server, error) {
	file, err := loadContexts(Home(c.getenv))
	if err != nil {
		return server{}, err
	}
	name := c.getenv("DINP_CONTEXT")
	if name == "" {
		name = file.Current
	}
	v, found := file.Contexts[name]
	if c.getenv("DINP_CONTEXT") != "" && !found {
		return v, model.E(model.CodeBadConfig, "DINP_CONTEXT names %q, and there is no such context", name).WithNext("dinp contexts lists them")
	}
	if u := c.getenv("DINP_URL"); u != "" {
		if u, err = serverURL(u); err != nil {
			return server{}, err
		}
		if u != v.URL {
			v = server{URL: u}
		}
	}
	if t := c.getenv("DINP_TOKEN"); t != "" {
		v.Token, v.User = t, ""
	}
	if v.URL == "" {
		return v, model.E(model.CodeBadConfig, "no dinp server is known here").
			WithNext("dinp login URL, or set DINP_URL and DINP_TOKEN, or start one on this machine: dinp up")
	}
	return v, nil
}

// serverURL checks a server's address and gives it its one form: scheme and
// host, with no slash at the end. Without a scheme, this machine is asked by
// http and any other by https.
func serverURL(s string) (string, error) {
	given := s
	if !strings.Contains(s, "://") {
		scheme := "https://"
		if host, _, _ := strings.Cut(s, ":"); isLoopback(host) {
			scheme = "http://"
		}
		s = scheme + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", model.E(model.CodeBadConfig, "%q is not the address of a server", clean(given)).WithNext("write it as http://HOST:8000")
	}
	u.RawQuery, u.Fragment = "", ""
	return strings.TrimSuffix(strings.TrimRight(u.String(), "/"), apiPath), nil
}
