package preflight

import (
	"strings"
	"testing"
)

func TestSecretIn_FindsEachFormAnywhere(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("AKIA ghp_ xoxb- glpat- -----BEGIN CERTIFICATE----- lorem\n", 500)
	if what := secretIn([]byte(filler)); what != "" {
		t.Errorf("words alone are taken for %s", what)
	}
	for secret, want := range map[string]string{
		"-----BEGIN RSA PRIVATE KEY-----":       "a private key",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----": "a private key",
		"AKIA" + strings.Repeat("Z", 16):        "an AWS access key",
		"ghp_" + strings.Repeat("a", 36):        "a GitHub token",
		"github_pat_" + strings.Repeat("a", 82): "a GitHub token",
		"glpat-" + strings.Repeat("a", 20):      "a GitLab token",
		"xoxb-" + strings.Repeat("1", 20):       "a Slack token",
		"_authToken=" + strings.Repeat("x", 36): "an npm token",
	} {
		for _, text := range []string{secret, filler + secret, secret + "\n" + filler, filler + " " + secret + " " + filler} {
			if got := secretIn([]byte(text)); got != want {
				t.Errorf("%.20s… in %d bytes is %q, want %s", secret, len(text), got, want)
			}
		}
		if strings.HasPrefix(secret, "A") || strings.HasPrefix(secret, "g") {
			if got := secretIn([]byte("x" + secret)); got != "" {
				t.Errorf("the middle of a word is taken for %s", got)
			}
		}
	}
}
