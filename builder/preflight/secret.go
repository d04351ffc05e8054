package preflight

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/dinp/dinp/builder/recipe"
)

// secretNames are files that hold nothing but credentials.
var secretNames = []string{
	"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", ".git-credentials", ".pypirc", ".pgpass", ".dockercfg", ".htpasswd",
	".env", ".env.local", ".env.production", "credentials.json", "service-account.json",
}

var secretContent = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"a private key", regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----`)},
	{"an AWS access key", regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"a GitHub token", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})\b`)},
	{"a GitLab token", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}\b`)},
	{"a Slack token", regexp.MustCompile(`\bxox[abprs]-[A-Za-z0-9-]{20,}\b`)},
	{"an npm token", regexp.MustCompile(`_authToken=[^\s$]{10,}`)},
}

// Where credentials are put, and how much is read in search of them.
var secretPlaces = []string{
	".pem", ".key", ".yml", ".yaml", ".json", ".properties", ".xml", ".conf", ".cfg", ".ini", ".toml", ".txt", ".env", ".sh", ".py", ".php", ".npmrc",
}

const (
	secretBytes = 128 << 10 // of one file
	secretTotal = 32 << 20
)

// secrets finds private keys and credentials. What is found is named by its place, never shown. In a site they would be
// served to everyone, which is an error; elsewhere they may be meant.
func (c *check) secrets() {
	var found []string
	left := int64(secretTotal)
	c.files(func(f recipe.File) bool {
		if c.inLibraries(f.Path) {
			return true // other people's tests hold keys that open nothing
		}
		if what := c.secret(f, &left); what != "" {
			found = append(found, quoted(f.Path)+": "+what)
		}
		return left > 0 && !c.late("credentials")
	})
	if c.has(func(p string) bool { return strings.HasPrefix(p, ".git/") }) {
		found = append(found, `".git/": the history of the sources`)
	}
	if len(found) == 0 {
		return
	}
	const fix = "leave them out of the artifact and give them to the app as its environment: dinp env APP set KEY=VALUE; what was published before must be renewed"
	complain := c.warn
	if c.Choice.Runtime.Name == "static" {
		complain = c.fail
	}
	complain("credentials", fix, "%d places in the artifact hold private keys or credentials", len(found)).Evidence = examples(found)
}

func (c *check) secret(f recipe.File, left *int64) string {
	base := path.Base(f.Path)
	if slices.Contains(secretNames, base) && f.Size > 0 {
		return "by its name"
	}
	if strings.HasSuffix(f.Path, ".aws/credentials") {
		return "by its name"
	}
	if f.Size == 0 || !hasSuffix(base, secretPlaces...) {
		return ""
	}
	b := c.read(f.Path, secretBytes)
	*left -= int64(len(b))
	for _, s := range secretContent {
		if s.pattern.Match(b) {
			return s.what
		}
	}
	return ""
}
