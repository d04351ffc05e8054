package docker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/docker/docker/api/types/registry"

	"github.com/dinp/dinp/common/model"
)

// maxAuthFile is far more than a file of logins needs.
const maxAuthFile = 1 << 20

// auth is the login as the engine takes it. The file is read anew for each pull:
// short-lived passwords are replaced under a running agent.
func (d *Docker) auth() (string, error) {
	a, err := ReadAuth(d.o.AuthFile, d.o.Registry)
	if err != nil {
		return "", err
	}
	return registry.EncodeAuthConfig(a)
}

// ReadAuth reads the login at a registry (host:port) from a file: either of the
// form of Docker's config.json, as `docker login` writes it, or one line
// user:password. Without a file it is empty. Errors name the file and never what
// is in it.
func ReadAuth(file, host string) (registry.AuthConfig, error) {
	none := registry.AuthConfig{ServerAddress: host}
	if file == "" {
		return none, nil
	}
	bad := func(format string, args ...any) error {
		return model.E(model.CodeBadConfig, "registry_auth_file %s: "+format, append([]any{file}, args...)...).
			WithNext("write it with: docker --config DIR login %s, and name DIR/config.json", host)
	}
	info, err := os.Stat(file)
	if err != nil {
		return none, bad("it cannot be read: %v", err)
	}
	if info.Size() > maxAuthFile {
		return none, bad("it has %d bytes; a file of logins has few", info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return none, bad("it cannot be read: %v", err)
	}
	a, problem := parseAuth(text, host)
	if problem != "" {
		return none, bad("%s", problem)
	}
	a.ServerAddress = host
	return a, nil
}

// login is one entry of config.json.
type login struct {
	Auth          string `json:"auth"` // base64 of user:password
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// parseAuth finds a registry's login in a file's text; problem says why there is
// none, without a word of the text.
func parseAuth(text []byte, host string) (a registry.AuthConfig, problem string) {
	if trimmed := strings.TrimSpace(string(text)); !strings.HasPrefix(trimmed, "{") {
		user, password, ok := strings.Cut(trimmed, ":")
		if !ok || user == "" || strings.ContainsAny(trimmed, "\r\n") {
			return a, "it is neither Docker's config.json nor one line user:password"
		}
		return registry.AuthConfig{Username: user, Password: password}, ""
	}
	var file struct {
		Auths       map[string]login  `json:"auths"`
		CredsStore  string            `json:"credsStore"`
		CredHelpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return a, "it begins as JSON and is none" // the error would quote it
	}
	for name, l := range file.Auths {
		if registryHost(name) == host && l != (login{}) {
			return l.config()
		}
	}
	if file.CredsStore != "" || file.CredHelpers[host] != "" {
		return a, "it leaves the login to a program (credsStore, credHelpers), which an agent does not run; write the login into the file"
	}
	return a, fmt.Sprintf("it has no login for %s, but for %d others", host, len(file.Auths))
}

// registryHost is the host:port of a key of config.json: with or without scheme
// and path.
func registryHost(key string) string {
	if _, after, ok := strings.Cut(key, "://"); ok {
		key = after
	}
	host, _, _ := strings.Cut(key, "/")
	return host
}

func (l login) config() (registry.AuthConfig, string) {
	a := registry.AuthConfig{Username: l.Username, Password: l.Password, IdentityToken: l.IdentityToken, RegistryToken: l.RegistryToken}
	if l.Auth == "" {
		return a, ""
	}
	both, err := base64.StdEncoding.DecodeString(l.Auth)
	user, password, ok := strings.Cut(string(both), ":")
	if err != nil || !ok {
		return a, "a login in it is not the base64 of user:password"
	}
	a.Username, a.Password = user, strings.TrimRight(password, "\x00")
	return a, ""
}
