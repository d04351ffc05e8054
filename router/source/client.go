package source

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisConfig says where Redis is: at an address, or found through Sentinel.
type RedisConfig struct {
	Addr         string         `yaml:"addr" help:"host:port of the Redis with the routes; unused with Sentinel"`
	Username     string         `yaml:"username" help:"name in Redis' ACL; empty: none"`
	PasswordFile string         `yaml:"password_file" help:"file of Redis' password, read at start; empty: none"`
	DB           int            `yaml:"db" help:"number of the database in Redis"`
	Sentinel     SentinelConfig `yaml:"sentinel"`
}

// SentinelConfig names a master that Sentinel watches.
type SentinelConfig struct {
	Master       string   `yaml:"master" help:"name of the Redis master that Sentinel watches; empty: no Sentinel"`
	Addrs        []string `yaml:"addrs" help:"host:port of the Sentinels"`
	PasswordFile string   `yaml:"password_file" help:"file of the Sentinels' password; empty: none"`
}

// Deadlines of one exchange with Redis. A network that swallows packets is
// found out by them alone.
const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 3 * time.Second
)

// Open makes a client. It connects when it is first used.
func (c RedisConfig) Open() (*redis.Client, error) {
	password, err := readSecret(c.PasswordFile)
	if err != nil {
		return nil, err
	}
	o := c.options(password)
	if c.Sentinel.Master == "" {
		return redis.NewClient(o), nil
	}
	sentinelPassword, err := readSecret(c.Sentinel.PasswordFile)
	if err != nil {
		return nil, err
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: c.Sentinel.Master, SentinelAddrs: c.Sentinel.Addrs, SentinelPassword: sentinelPassword,
		Username: o.Username, Password: o.Password, DB: o.DB, MaxRetries: o.MaxRetries, PoolSize: o.PoolSize,
		DialTimeout: o.DialTimeout, DialerRetries: o.DialerRetries, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		ContextTimeoutEnabled: true, DisableIdentity: true,
	}), nil
}

// options turns the client's own retries off: our loops retry, and an old
// answer must not arrive late.
func (c RedisConfig) options(password string) *redis.Options {
	return &redis.Options{
		Addr: c.Addr, Username: c.Username, Password: password, DB: c.DB,
		MaxRetries: -1, DialerRetries: 1, PoolSize: 2, ContextTimeoutEnabled: true, DisableIdentity: true,
		DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the Redis password: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// The client writes lines of its own to standard error, several for each
// attempt on a Redis that is away. All it says there it also returns, and the
// loops log that once. Its logger is one per process and not safe to change
// later, hence here.
func init() { redis.SetLogger(silent{}) }

type silent struct{}

// Printf drops the line.
func (silent) Printf(context.Context, string, ...any) {}
