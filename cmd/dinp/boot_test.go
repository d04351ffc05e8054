package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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
