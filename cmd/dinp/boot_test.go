package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/dinp/dinp/common/model"
)

func TestLoadConfig_ReadsTheCommentedSample(t *testing.T) {
	c, err := loadConfig("../../deploy/dinp.yml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Agent.Registry != "127.0.0.1:5000" || c.Builder.Registry != "10.0.0.4:5000" || c.Server.Domain != "apps.example.com" || len(c.HM.Servers) != 2 {
		t.Errorf("shared and own values are mixed up: %+v", c)
	}
}

func TestLoadConfig_RefusesAMisspeltKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dinp.yml")
	if err := os.WriteFile(file, []byte("server:\n  lisen: :1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := loadConfig(file)
	if !model.IsCode(err, model.CodeBadConfig) || !strings.Contains(err.Error(), "lisen") {
		t.Errorf("error %v", err)
	}
}

func TestLoadConfig_EnvironmentOverridesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dinp.yml")
	if err := os.WriteFile(file, []byte("domain: file.example\nserver:\n  heartbeat: 7s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DINP_DOMAIN", "env.example")
	t.Setenv("DINP_SERVER_LOST_AFTER", "9s")
	t.Setenv("DINP_AGENT_SERVERS", "a:1,b:2")
	c, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Dash.Domain != "env.example" || c.Server.Heartbeat != 7*time.Second || c.Server.LostAfter != 9*time.Second || len(c.Agent.Servers) != 2 {
		t.Errorf("dash.domain %s, heartbeat %s, lost_after %s, servers %v", c.Dash.Domain, c.Server.Heartbeat, c.Server.LostAfter, c.Agent.Servers)
	}
}

func TestSettings_NamesAreUniqueWithinAPart(t *testing.T) {
	c := defaults()
	for _, s := range partSpecs {
		seen := map[string]bool{}
		for _, v := range settings(s.name+".", reflect.ValueOf(s.section(&c)).Elem()) {
			if name := v.flagName(s.name); seen[name] {
				t.Errorf("%s: two settings are --%s", s.name, name)
			} else {
				seen[name] = true
			}
		}
	}
}

// Every flag of a part is named in its help with words of its own; what the
// platform's own file cannot say in a line is too long for a person who looks for
// one setting among fifty.
func TestHelp_HasWordsForEverySetting(t *testing.T) {
	for _, cmd := range partCommands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			words, _, _ := strings.Cut(f.Usage, " (")
			switch {
			case words == "":
				t.Errorf("dinp %s --%s has no words: its field lacks the tag help", cmd.Name(), f.Name)
			case len(words) > 160 || strings.HasSuffix(words, "."):
				t.Errorf("dinp %s --%s: %q is not one short sentence", cmd.Name(), f.Name, words)
			}
		})
	}
}

func TestHelp_TellsUnitAndDefault(t *testing.T) {
	for _, cmd := range partCommands() {
		if cmd.Name() != "server" && cmd.Name() != "agent" {
			continue
		}
		got := cmd.Flags().FlagUsages()
		for _, want := range map[string][]string{
			"server": {"--lost-after duration ", "(server.lost_after; default 1m)", "(server.cert_life; default 2160h)", "(server.lease_ttl; default 10s)", "(server.acme.email)"},
			"agent":  {"--labels a,b,... ", "MiB of memory that instances may reserve in all; 0: the host's, less a tenth (agent.memory_mib; default 0)", "--disk-keep-images int "},
		}[cmd.Name()] {
			if !strings.Contains(got, want) {
				t.Errorf("dinp %s --help lacks %q:\n%s", cmd.Name(), want, got)
			}
		}
	}
}

func TestPortHolder_NamesThisProcess(t *testing.T) {
	ln, err := bind("the test", "127.0.0.1:0", "--x")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = bind("the test", ln.Addr().String(), "--x")
	e := model.AsError(err)
	if e.Code != model.CodePortTaken || !strings.Contains(e.Message, "pid") || !strings.Contains(e.Next, "--x") {
		t.Errorf("error %+v", e)
	}
}
