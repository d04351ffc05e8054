package router

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dinp/dinp/common/model"
)

func TestConfig_DefaultIsValid(t *testing.T) {
	t.Parallel()
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfig_AllProblemsAreListed(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Listen, c.Admin, c.TLS.HTTP3 = "8080", "x:notaport", true
	c.Redis.Addr = ""
	c.TrustedProxies = []string{"10.0.0.0/8", "lvs"}
	c.Timeouts.Dial, c.Timeouts.LameDuck = 0, -1
	err := c.Validate()
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.CodeBadConfig {
		t.Fatalf("%v", err)
	}
	all := strings.Join(e.Evidence, "\n")
	for _, want := range []string{"listen:", "admin:", "redis.addr:", "trusted_proxies:", "timeouts.dial:", "timeouts.lame_duck:", "tls.http3:"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not among\n%s", want, all)
		}
	}
	c = Default()
	c.Redis.Sentinel.Master = "m"
	if err := c.Validate(); err == nil {
		t.Error("a master without sentinels is accepted")
	}
	c.Redis.Sentinel.Addrs, c.Redis.Addr = []string{"10.0.0.1:26379"}, ""
	if err := c.Validate(); err != nil {
		t.Errorf("sentinel needs no address: %v", err)
	}
}

func TestConfig_IsReadFromStrictYAML(t *testing.T) {
	t.Parallel()
	c := Default()
	d := yaml.NewDecoder(strings.NewReader(`
id: edge1
listen: ":80"
redis:
  sentinel:
    master: dinp
    addrs: ["10.0.0.1:26379", "10.0.0.2:26379"]
    password_file: /etc/dinp/sentinel
trusted_proxies: [10.0.0.0/8]
access_log: /var/log/dinp/access.log
timeouts:
  drain: 45s
`))
	d.KnownFields(true)
	err := d.Decode(&c)
	if err != nil {
		t.Fatal(err)
	}
	if c.Timeouts.Drain != 45*time.Second || c.Timeouts.Dial != 2*time.Second || len(c.Redis.Sentinel.Addrs) != 2 || c.Listen != ":80" {
		t.Errorf("%+v", c)
	}
}
