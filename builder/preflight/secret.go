package preflight

import (
	"bytes"
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

// secretContent are the forms of credentials. A text that has none of a form's words has none of the form: looking for
// words is a hundred times faster than looking for patterns, and there are megabytes to look at in less than a second.
var secretContent = []struct {
	what    string
	words   []string
	pattern *regexp.Regexp
}{
	{"a private key", []string{"-----BEGIN "}, regexp.MustCompile(`-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----`)},
	{"an AWS access key", []string{"AKIA", "ASIA"}, regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"a GitHub token", []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})\b`)},
	{"a GitLab token", []string{"glpat-"}, regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}\b`)},
	{"a Slack token", []string{"xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-"}, regexp.MustCompile(`\bxox[abprs]-[A-Za-z0-9-]{20,}\b`)},
	{"an npm token", []string{"_authToken="}, regexp.MustCompile(`_authToken=[^\s$]{10,}`)},
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
	return secretIn(b)
}

// secretReach is how much of a text is looked at from a word on; no form needs more.
const secretReach = 128

// secretIn says what kind of credentials a text holds; "" for none.
func secretIn(text []byte) string {
	for _, s := range secretContent {
		for _, word := range s.words {
			for at := 0; ; at++ {
				i := bytes.Index(text[at:], []byte(word))
				if i < 0 {
					break
				}
				at += i
				if s.pattern.Match(text[max(at-1, 0):min(at+secretReach, len(text))]) { // with the byte before, for \b
					return s.what
				}
			}
		}
	}
	return ""
}
