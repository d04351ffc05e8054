package router

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router/access"
	"github.com/dinp/dinp/router/cert"
	"github.com/dinp/dinp/router/source"
)

// RedisConfig says where the routes are read.
type RedisConfig = source.RedisConfig

// SentinelConfig names a Redis master that Sentinel watches.
type SentinelConfig = source.SentinelConfig

// Config of a router. Start from Default.
type Config struct {
	ID             string      `yaml:"id" help:"name of this router, another for each; empty: the host's name and port"`
	Listen         string      `yaml:"listen" help:"host:port of the traffic; port 0 takes a free one"`
	Advertise      string      `yaml:"advertise" help:"host:port at which others reach it, for display; empty: the address it listens on"`
	Admin          string      `yaml:"admin" help:"host:port of /healthz, /readyz, /metrics and debug pages"`
	Redis          RedisConfig `yaml:"redis"` //
	Snapshot       string      `yaml:"snapshot" help:"file of the last good routes, so that it starts without Redis; empty: none, and no such start"`
	TrustedProxies []string    `yaml:"trusted_proxies" help:"addresses or CIDRs of proxies whose X-Forwarded-* headers are believed"`
	AccessLog      string      `yaml:"access_log" help:"file that gets a line per request, begun anew once it is moved away; -: standard output; empty: none"`
	AccessFormat   string      `yaml:"access_format" help:"form of those lines: json or combined"`
	TLS            TLSConfig   `yaml:"tls"` //
	ProxyProtocol  []string    `yaml:"proxy_protocol" help:"addresses or CIDRs of load balancers that begin every connection with a PROXY header"`
	Limits         Limits      `yaml:"limits"` //
	ReusePort      bool        `yaml:"reuse_port" help:"share the ports with a router that takes over (SO_REUSEPORT)"`
	FastPath       bool        `yaml:"fast_path" help:"serve plain HTTP/1.1 by event loops; false: everything by net/http, at several times the CPU"`
	Timeouts       Timeouts    `yaml:"timeouts"`
	Secret         string      `yaml:"-"` // the cluster's: opens certificates from Redis, makes session tickets; empty: neither
	AccessWriter   io.Writer   `yaml:"-"` // instead of the file, for programs; calls are serialised
}

// TLSConfig is how a router answers HTTPS.
type TLSConfig struct {
	Listen       string      `yaml:"listen" help:"host:port of HTTPS; empty: none"`
	HTTP3        bool        `yaml:"http3" help:"answer HTTP/3 at the port of HTTPS, too, in UDP"`
	PublicPort   int         `yaml:"public_port" help:"port at which visitors reach HTTPS, for redirects; 0: the one it listens on"`
	Certificates []cert.File `yaml:"certificates" help:"pairs of PEM files besides the platform's own certificates, as in [{chain: a.pem, key: a.key}]"`
	Snapshot     string      `yaml:"snapshot" help:"file of the platform's certificates, sealed, so that it starts without Redis; empty: none, and no such start"`
	SelfSigned   bool        `yaml:"self_signed" help:"answer unknown names with a certificate that nobody trusts, instead of not at all"`
	Fallback     cert.File   `yaml:"fallback"` // answer them with this one
}

// Limits protect the router and its apps from floods. Zero means no limit.
type Limits struct {
	Connections       int      `yaml:"connections" help:"connections open at once; 0: no limit but the process's open files"`
	SourceConnections int      `yaml:"source_connections" help:"connections open at once from one address (IPv6: one /64); 0: no limit"`
	SourceRequests    float64  `yaml:"source_requests" help:"requests a second from one address, more get 429; 0: no limit"`
	SourceBurst       int      `yaml:"source_burst" help:"requests at once that one address may send above that rate"`
	Except            []string `yaml:"except" help:"addresses or CIDRs that are not limited; trusted proxies never are"`
	ConcurrentStreams int      `yaml:"concurrent_streams" help:"streams open at once in one HTTP/2 connection"`
	MinBodyRate       int      `yaml:"min_body_rate" help:"bytes a second that a client must send or take on average, once it was slow for timeouts.client_stall; 0: any"`
}

// Timeouts of a router. There is none on whole requests or responses: streams
// and upgraded connections may last.
type Timeouts struct {
	ReadHeader     time.Duration `yaml:"read_header" help:"time for a client to send its request's head"`
	ClientIdle     time.Duration `yaml:"client_idle" help:"time that a connection of a client may stay open between two requests"`
	Dial           time.Duration `yaml:"dial" help:"time to connect to an instance"`
	ResponseHeader time.Duration `yaml:"response_header" help:"time for an instance to begin its answer"`
	BackendIdle    time.Duration `yaml:"backend_idle" help:"time that a connection to an instance is kept between two requests"`
	ClientStall    time.Duration `yaml:"client_stall" help:"time for a client to send more of its body, or to take more of the answer"`
	LameDuck       time.Duration `yaml:"lame_duck" help:"time at stop during which it still serves and already says that it is not ready"`
	Drain          time.Duration `yaml:"drain" help:"time at stop for requests in flight"`
}

// Default returns the settings of a router beside a local Redis.
func Default() Config {
	return Config{
		Listen: ":8080", Admin: "127.0.0.1:1972", FastPath: true, Redis: RedisConfig{Addr: "127.0.0.1:6379"}, AccessFormat: string(access.JSON),
		Limits: Limits{
			Connections: 200_000, SourceConnections: 8192, SourceBurst: 100, Except: []string{"127.0.0.0/8", "::1"},
			ConcurrentStreams: 100, MinBodyRate: 128,
		},
		Timeouts: Timeouts{
			ReadHeader: 10 * time.Second, ClientIdle: 2 * time.Minute, Dial: 2 * time.Second, ResponseHeader: time.Minute,
			BackendIdle: 4 * time.Second, ClientStall: 30 * time.Second, LameDuck: time.Second, Drain: 30 * time.Second,
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
	for name, list := range map[string][]string{"trusted_proxies": c.TrustedProxies, "proxy_protocol": c.ProxyProtocol, "limits.except": c.Limits.Except} {
		if _, err := parsePrefixes(list); err != nil {
			add("%s: %v", name, err)
		}
	}
	if f := access.Format(c.AccessFormat); f != access.JSON && f != access.Combined {
		add("access_format: %q is neither json nor combined", c.AccessFormat)
	}
	c.TLS.check(add)
	c.Limits.check(add)
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
		{"response_header", t.ResponseHeader}, {"backend_idle", t.BackendIdle}, {"drain", t.Drain}, {"client_stall", t.ClientStall},
	} {
		if d.d <= 0 {
			add("timeouts.%s: %v is not positive", d.name, d.d)
		}
	}
	if t.LameDuck < 0 {
		add("timeouts.lame_duck: %v is negative", t.LameDuck)
	}
}

func (c TLSConfig) check(add func(string, ...any)) {
	if c.Listen != "" {
		checkAddr(add, "tls.listen", c.Listen)
	}
	if (c.Fallback.Chain == "") != (c.Fallback.Key == "") {
		add("tls.fallback: needs both chain and key, %q and %q are given", c.Fallback.Chain, c.Fallback.Key)
	}
	for _, f := range c.Certificates {
		if f.Chain == "" || f.Key == "" {
			add("tls.certificates: an entry needs both chain and key, %q and %q are given", f.Chain, f.Key)
		}
	}
	if c.HTTP3 && c.Listen == "" {
		add("tls.http3: needs tls.listen, which is empty")
	}
	if c.PublicPort < 0 || c.PublicPort > 65535 {
		add("tls.public_port: %d is no port", c.PublicPort)
	}
}

func (l Limits) check(add func(string, ...any)) {
	for _, n := range []struct {
		name string
		n    float64
	}{
		{"connections", float64(l.Connections)}, {"source_connections", float64(l.SourceConnections)}, {"source_requests", l.SourceRequests},
		{"source_burst", float64(l.SourceBurst)}, {"concurrent_streams", float64(l.ConcurrentStreams)}, {"min_body_rate", float64(l.MinBodyRate)},
	} {
		if n.n < 0 {
			add("limits.%s: %v is negative", n.name, n.n)
		}
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
