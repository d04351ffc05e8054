package dash

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
)

// Config is what dash needs to know. Reading it from a file, flags and
// environment is the caller's work.
type Config struct {
	Listen         string        `yaml:"listen" help:"host:port of pages and API"`
	Admin          string        `yaml:"admin" help:"host:port of /healthz, /readyz and /metrics; empty: none"`
	Domain         string        `yaml:"domain" help:"apps answer on <app>.<domain>"`
	PublicScheme   string        `yaml:"public_scheme" help:"http or https: how users reach the routers, for the URLs that are shown"`
	PublicPort     int           `yaml:"public_port" help:"port at which users reach the routers, for the URLs that are shown"`
	Servers        []string      `yaml:"servers" help:"gRPC addresses of the servers, host:port; any of them may lead"`
	Identity       *pki.Keeper   `yaml:"-"` // its certificate, from the cluster's authority
	Secret         string        `yaml:"-"` // of the cluster, from a file; seals the keys of domains' certificates
	Registry       string        `yaml:"registry" help:"host:port of the image registry"`
	Data           string        `yaml:"data" help:"folder of uploads on their way; where dashes share it (NFS 4), an upload goes on at any of them"`
	MaxUploadMiB   int64         `yaml:"max_upload_mib" help:"MiB that one artifact may have"`
	TrustedProxies []string      `yaml:"trusted_proxies" help:"addresses or CIDRs of proxies whose X-Forwarded-For is believed"`
	KeepReleases   int           `yaml:"keep_releases" help:"releases of each app, the newest and the newest that served, whose images and artifacts stay"`
	GCEvery        time.Duration `yaml:"gc_every" help:"time between two removals of the other releases' images; 0s: never, but for dinp gc"`
	CookieSecure   bool          `yaml:"cookie_secure" help:"send the login's cookie over https only, where a proxy in front of dash ends TLS"`
	Version        string        `yaml:"-"` // of the program, for /version
}

// Default returns the configuration of `dinp up`.
func Default() Config {
	return Config{
		Listen: ":8000", Admin: "127.0.0.1:1976", Domain: "apps.localhost", PublicScheme: "http", PublicPort: 8080,
		Servers: []string{"127.0.0.1:1970"}, Registry: "127.0.0.1:5080", Data: "/var/lib/dinp/dash", MaxUploadMiB: 2048, Version: "dev",
		KeepReleases: 10, GCEvery: 24 * time.Hour,
	}
}

// Validate lists all that is wrong.
func (c Config) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("dash: "+format, args...))
		}
	}
	bad(isHostPort(c.Listen), "listen %q is not host:port", c.Listen)
	bad(c.Admin == "" || isHostPort(c.Admin), "admin %q is not host:port", c.Admin)
	bad(c.Domain != "" && c.Domain == strings.ToLower(c.Domain) && !strings.ContainsAny(c.Domain, "/: "), "domain %q is not a lower-case host name", c.Domain)
	bad(c.PublicScheme == "http" || c.PublicScheme == "https", "public_scheme %q is neither http nor https", c.PublicScheme)
	bad(c.PublicPort > 0 && c.PublicPort < 65536, "public_port is %d; it must be 1 to 65535", c.PublicPort)
	bad(len(c.Servers) > 0, "servers is empty")
	for _, s := range c.Servers {
		bad(isHostPort(s), "servers: %q is not host:port", s)
	}
	bad(c.Identity != nil, "there is no certificate")
	bad(c.Secret != "", "secret is empty")
	bad(isHostPort(c.Registry), "registry %q is not host:port", c.Registry)
	bad(c.Data != "", "data is empty")
	bad(c.MaxUploadMiB > 0, "max_upload_mib is %d; it must be at least 1", c.MaxUploadMiB)
	bad(c.KeepReleases >= 1 && c.KeepReleases <= 10_000, "keep_releases is %d; it must be 1 to 10000", c.KeepReleases)
	bad(c.GCEvery == 0 || c.GCEvery >= time.Minute, "gc_every is %s; it must be 0 or at least 1m", c.GCEvery)
	for _, p := range c.TrustedProxies {
		bad(isNetwork(p), "trusted_proxies: %q is neither an address nor a CIDR", p)
	}
	if len(errs) == 0 {
		return nil
	}
	return model.E(model.CodeBadConfig, "%s", strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; "))
}

// LogValue keeps the secret out of logs.
func (c Config) LogValue() slog.Value {
	c.Secret = "[redacted]"
	type plain Config // without this method
	return slog.AnyValue(plain(c))
}

// AppURL is the address at which an app answers.
func (c Config) AppURL(app string) string {
	host := app + "." + c.Domain
	if c.PublicScheme == "http" && c.PublicPort != 80 || c.PublicScheme == "https" && c.PublicPort != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(c.PublicPort))
	}
	return c.PublicScheme + "://" + host + "/"
}

func (c Config) maxUpload() int64 { return c.MaxUploadMiB << 20 }

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 0 && n < 65536
}

func isNetwork(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}
