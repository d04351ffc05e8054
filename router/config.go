package router

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router/source"
)

// RedisConfig says where the routes are read.
type RedisConfig = source.RedisConfig

// SentinelConfig names a Redis master that Sentinel watches.
type SentinelConfig = source.SentinelConfig

// Config of a router. Start from Default.
type Config struct {
	ID             string      `yaml:"id"`              // of its line in Redis; empty: host name and port
	Listen         string      `yaml:"listen"`          // traffic, host:port; port 0 takes a free one
	Advertise      string      `yaml:"advertise"`       // where others reach it, for display; empty: the bound address
	Admin          string      `yaml:"admin"`           // health, metrics, debug
	Redis          RedisConfig `yaml:"redis"`           //
	Snapshot       string      `yaml:"snapshot"`        // file of the last good table; empty: none, and no start without Redis
	TrustedProxies []string    `yaml:"trusted_proxies"` // CIDRs or addresses whose X-Forwarded-* are believed
	AccessLog      string      `yaml:"access_log"`      // file to append a JSON line per request to; empty: none
	Timeouts       Timeouts    `yaml:"timeouts"`
	AccessWriter   io.Writer   `yaml:"-"` // instead of the file, for programs; calls are serialised
}

// Timeouts of a router. There is none on whole requests or responses: streams
// and upgraded connections may last.
type Timeouts struct {
	ReadHeader     time.Duration `yaml:"read_header"`     // for a client to send its request's head
	ClientIdle     time.Duration `yaml:"client_idle"`     // between a client's requests
	Dial           time.Duration `yaml:"dial"`            // to connect to an instance
	ResponseHeader time.Duration `yaml:"response_header"` // for an instance to begin its answer
	BackendIdle    time.Duration `yaml:"backend_idle"`    // between requests to an instance
	LameDuck       time.Duration `yaml:"lame_duck"`       // at stop: still serving while already unready
	Drain          time.Duration `yaml:"drain"`           // at stop: for what is in flight
}

// Default returns the settings of a router beside a local Redis.
func Default() Config {
	return Config{
		Listen: ":8080", Admin: "127.0.0.1:1972", Redis: RedisConfig{Addr: "127.0.0.1:6379"},
		Timeouts: Timeouts{
			ReadHeader: 10 * time.Second, ClientIdle: 2 * time.Minute, Dial: 2 * time.Second, ResponseHeader: time.Minute,
			BackendIdle: 4 * time.Second, LameDuck: time.Second, Drain: 30 * time.Second,
		},
	}
}

// Validate returns one error with all problems as its evidence, or nil.
func (c Config) Validate() error {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	checkAddr(add, "listen", c.Listen)
	checkAddr(add, "admin", c.Admin)
	c.checkRedis(add)
	if _, err := parsePrefixes(c.TrustedProxies); err != nil {
		add("trusted_proxies: %v", err)
	}
	c.Timeouts.check(add)
	if len(problems) == 0 {
		return nil
	}
	return model.E(model.CodeBadConfig, "router: %d problems in its configuration", len(problems)).WithEvidence(problems...)
}

func checkAddr(add func(string, ...any), name, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		add("%s: %q is not host:port: %v", name, addr, err)
	}
}

func (c Config) checkRedis(add func(string, ...any)) {
	s := c.Redis.Sentinel
	switch {
	case s.Master == "" && len(s.Addrs) > 0:
		add("redis.sentinel.master: is missing, with %d sentinels given", len(s.Addrs))
	case s.Master == "":
		checkAddr(add, "redis.addr", c.Redis.Addr)
	case len(s.Addrs) == 0:
		add("redis.sentinel.addrs: no sentinel of master %q is given", s.Master)
	}
	for _, a := range s.Addrs {
		checkAddr(add, "redis.sentinel.addrs", a)
	}
}

func (t Timeouts) check(add func(string, ...any)) {
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"read_header", t.ReadHeader}, {"client_idle", t.ClientIdle}, {"dial", t.Dial},
		{"response_header", t.ResponseHeader}, {"backend_idle", t.BackendIdle}, {"drain", t.Drain},
	} {
		if d.d <= 0 {
			add("timeouts.%s: %v is not positive", d.name, d.d)
		}
	}
	if t.LameDuck < 0 {
		add("timeouts.lame_duck: %v is negative", t.LameDuck)
	}
}

// parsePrefixes reads CIDRs; a bare address means itself alone.
func parsePrefixes(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, errAddr := netip.ParseAddr(s)
			if errAddr != nil {
				return nil, fmt.Errorf("%q is neither a CIDR nor an address", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
