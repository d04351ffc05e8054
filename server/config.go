package server

import (
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/server/acme"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/server/plan"
)

// Config is what a server needs to know. Durations are written as in "5s".
type Config struct {
	ID        string           `yaml:"id" help:"name of this server, another for each; empty: the host's name and listen"`
	Listen    string           `yaml:"listen" help:"host:port of the gRPC that agents, monitors, builders and dashes use"`
	Advertise string           `yaml:"advertise" help:"host:port at which they reach it; empty: the address it listens on"`
	Admin     string           `yaml:"admin" help:"host:port of /healthz, /readyz and /metrics"`
	Domain    string           `yaml:"domain" help:"apps answer on <app>.<domain>"`
	Secret    string           `yaml:"-"` // of the cluster, from a file
	Authority *enrol.Authority `yaml:"-"` // of the cluster; it signs for this server, too
	CertLife  time.Duration    `yaml:"cert_life" help:"how long the certificates it signs are good; parts renew theirs when a third is left"`
	Heartbeat time.Duration    `yaml:"heartbeat" help:"time between two signs of life of an agent; a node is unknown after three missed ones"`
	LostAfter time.Duration    `yaml:"lost_after" help:"time after which an unknown node is lost, and its instances are replaced"`
	MinReady  time.Duration    `yaml:"min_ready" help:"time that a new instance must be ready before it takes its slot from the old one"`
	LeaseTTL  time.Duration    `yaml:"lease_ttl" help:"time after which another server may take over from a leader that is silent"`
	Sweep     time.Duration    `yaml:"sweep" help:"time between two full comparisons of what is wanted with what is; changes are seen at once anyway"`
	ACME      acme.Config      `yaml:"acme"` // the authority that issues certificates
	Orphans   time.Duration    `yaml:"orphans" help:"time that an instance nobody wants is left alone before it is stopped"`
	SafeAfter time.Duration    `yaml:"safe_after" help:"safe mode begins when the database lacks more than this time of what agents were told"`
}

// Default returns the defaults of a cluster.
func Default() Config {
	return Config{
		Listen: ":1970", Admin: "127.0.0.1:1971", Domain: "apps.localhost", Heartbeat: 5 * time.Second, LostAfter: 60 * time.Second,
		MinReady: 10 * time.Second, LeaseTTL: 10 * time.Second, Sweep: 30 * time.Second, Orphans: 60 * time.Second, SafeAfter: 60 * time.Second, CertLife: 90 * 24 * time.Hour,
	}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var all []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			all = append(all, model.E(model.CodeBadConfig, "server: "+format, args...))
		}
	}
	bad(c.Listen == "", "listen is empty")
	bad(c.Domain == "", "domain is empty")
	bad(c.Secret == "", "the cluster's secret is empty; name its file with --secret-file")
	bad(c.CertLife < time.Minute || c.CertLife > 10*365*24*time.Hour, "cert_life is %s; it must be 1m to ten years", c.CertLife)
	bad(c.Heartbeat < 100*time.Millisecond || c.Heartbeat > time.Minute, "heartbeat is %s; it must be 100ms to 1m", c.Heartbeat)
	bad(c.LostAfter < c.Heartbeat, "lost_after is %s; it must be at least one heartbeat (%s)", c.LostAfter, c.Heartbeat)
	bad(c.MinReady < 0 || c.MinReady > time.Hour, "min_ready is %s; it must be 0s to 1h", c.MinReady)
	bad(c.LeaseTTL < time.Second || c.LeaseTTL > time.Minute, "lease_ttl is %s; it must be 1s to 1m", c.LeaseTTL)
	bad(c.Sweep < time.Second || c.Sweep > time.Hour, "sweep is %s; it must be 1s to 1h", c.Sweep)
	bad(c.Orphans < time.Second || c.Orphans > 24*time.Hour, "orphans is %s; it must be 1s to 24h", c.Orphans)
	bad(c.SafeAfter < time.Second, "safe_after is %s; it must be at least 1s", c.SafeAfter)
	return errors.Join(all...)
}

func (c Config) limits() actual.Limits { return actual.MissedBeats(c.Heartbeat, c.LostAfter) }

func (c Config) plan() plan.Config {
	p := plan.Default()
	p.MinReady = c.MinReady
	return p
}
