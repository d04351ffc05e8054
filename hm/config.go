package hm

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// Config is what a health monitor needs to be told.
type Config struct {
	Servers []string `yaml:"servers"` // gRPC addresses of the servers, host:port; any may lead
	Admin   string   `yaml:"admin"`   // host:port of /healthz, /readyz, /metrics; "": none
	Secret  string   `yaml:"-"`       // the cluster's, read from a file by the program
}

// Default returns the configuration of a monitor beside its server.
func Default() Config {
	return Config{Servers: []string{"127.0.0.1:1970"}, Admin: "127.0.0.1:1973"}
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
	if c.Secret == "" {
		errs = append(errs, errors.New("the cluster secret is empty"))
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
