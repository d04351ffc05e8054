package hm

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/dinp/dinp/proto/pki"
)

// Config is what a health monitor needs to be told.
type Config struct {
	Servers  []string    `yaml:"servers" help:"gRPC addresses of the servers, host:port; any of them may lead"`
	Admin    string      `yaml:"admin" help:"host:port of /healthz, /readyz and /metrics; empty: none"`
	Data     string      `yaml:"data" help:"folder of the certificate that the monitor joined with; not used beside database and secret"`
	Identity *pki.Keeper `yaml:"-"` // its certificate, from a file or the cluster's authority
}

// Default returns the configuration of a monitor beside its server.
func Default() Config {
	return Config{Servers: []string{"127.0.0.1:1970"}, Admin: "127.0.0.1:1973", Data: "/var/lib/dinp/hm"}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: name at least one"))
	}
	for _, s := range c.Servers {
		errs = append(errs, checkAddr("servers", s))
	}
	if c.Identity == nil {
		errs = append(errs, errors.New("there is no certificate"))
	}
	if c.Admin != "" {
		errs = append(errs, checkAddr("admin", c.Admin))
	}
	return errors.Join(errs...)
}

// LogValue implements slog.LogValuer: secrets stay out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("servers", c.Servers), slog.String("admin", c.Admin))
}

func checkAddr(field, addr string) error {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return fmt.Errorf("%s: %q is not host:port", field, addr)
	}
	return nil
}
