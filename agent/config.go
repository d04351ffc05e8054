package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/dinp/dinp/agent/docker"
	"github.com/dinp/dinp/agent/images"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
)

// Config is what an agent needs to be told; most of it has a good default.
type Config struct {
	Servers   []string `yaml:"servers" help:"gRPC addresses of the servers, host:port; any of them may lead"`
	Data      string   `yaml:"data" help:"folder of the node's identity, journal and logs; a new folder is a new node"`
	Name      string   `yaml:"name" help:"name of the node, for people; empty: the host's name"`
	Address   string   `yaml:"address" help:"IP at which routers and monitors reach the instances; empty: the one by which this host reaches the first server"`
	PublishIP string   `yaml:"publish_ip" help:"IP on which the instances' ports are published; empty: the address if that is a loopback one, else 0.0.0.0"`
	Zone      string   `yaml:"zone" help:"zone of the host, such as its rack or site; the instances of an app are spread over zones"`
	Pool      string   `yaml:"pool" help:"pool of the node; apps ask for it with pool==NAME, and others stay away; empty: the default pool"`
	Labels    []string `yaml:"labels" help:"words that apps can ask for with label==WORD, such as ssd or disk=ssd"`
	MemoryMiB int64    `yaml:"memory_mib" help:"MiB of memory that instances may reserve in all; 0: the host's, less a tenth"`
	CPUMilli  int64    `yaml:"cpu_milli" help:"thousandths of a core that instances may reserve in all; 0: all of the host's"`

	DockerHost      string  `yaml:"docker_host" help:"Docker engine of this host, as in unix:///run/docker.sock"`
	Registry        string  `yaml:"registry" help:"host:port from which the engine pulls images; plain HTTP from loopback only"`
	RegistryAuth    string  `yaml:"registry_auth_file" help:"file for a registry that asks who pulls: as docker login writes it, or one line user:password; empty: it does not ask"`
	RegistryForward Forward `yaml:"registry_forward"` // none with an empty listen
	Disk            Disk    `yaml:"disk"`

	Admin    string      `yaml:"admin" help:"host:port of /healthz, /readyz and /metrics; empty: none"`
	Identity *pki.Keeper `yaml:"-"` // the node's certificate
	Version  string      `yaml:"-"` // the program's, told to the leader
}

// Disk says what is done about a disk that fills up.
type Disk struct {
	CollectAbove int   `yaml:"collect_above" help:"percent of the disk in use above which images that nobody needs are removed; 0: never"`
	CollectTo    int   `yaml:"collect_to" help:"percent of the disk in use down to which they are removed"`
	KeepImages   int   `yaml:"keep_images" help:"releases of each app whose images stay in any case; without the leader's word, its images used last"`
	MinFreeMiB   int64 `yaml:"min_free_mib" help:"MiB of free disk below which the node takes no new instances; 0: it always does"`
}

// Forward is a loopback port that leads to the registry. The engine allows
// plain HTTP on loopback only, and an image's name stays the same on all nodes.
type Forward struct {
	Listen string `yaml:"listen" help:"loopback host:port at which the engine finds the registry, carried on by the agent; empty: no such port"`
	To     string `yaml:"to" help:"host:port of the registry that it leads to"`
}

// Default returns the configuration of an agent beside its server.
func Default() Config {
	return Config{
		Servers: []string{"127.0.0.1:1970"}, Data: "/var/lib/dinp/agent", Zone: "default",
		DockerHost: "unix:///var/run/docker.sock", Registry: "127.0.0.1:5080", Admin: "127.0.0.1:1975",
		Disk: Disk{CollectAbove: 80, CollectTo: 70, KeepImages: 2, MinFreeMiB: 1024},
	}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Servers) == 0 {
		bad("servers: name at least one")
	}
	for _, s := range c.Servers {
		checkAddr(bad, "servers", s)
	}
	if c.Data == "" {
		bad("data: name a folder")
	}
	if c.Identity == nil {
		bad("there is no certificate")
	}
	checkIP(bad, "address", c.Address)
	checkIP(bad, "publish_ip", c.PublishIP)
	if c.MemoryMiB < 0 || c.CPUMilli < 0 {
		bad("memory_mib is %d and cpu_milli %d; neither may be negative", c.MemoryMiB, c.CPUMilli)
	}
	checkLabels(bad, c)
	c.Disk.check(bad)
	if _, err := docker.ReadAuth(c.RegistryAuth, c.Registry); err != nil {
		bad("%w", err)
	}
	if c.Registry == "" {
		bad("registry: name its host:port")
	}
	if c.Admin != "" {
		checkAddr(bad, "admin", c.Admin)
	}
	if f := c.RegistryForward; f != (Forward{}) {
		checkAddr(bad, "registry_forward.listen", f.Listen)
		checkAddr(bad, "registry_forward.to", f.To)
	}
	return errors.Join(errs...)
}

func checkAddr(bad func(string, ...any), field, addr string) {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		bad("%s: %q is not host:port", field, addr)
	}
}

// checkLabels refuses words that no app could ask for.
func checkLabels(bad func(string, ...any), c Config) {
	for field, words := range map[string][]string{"zone": {c.Zone}, "pool": {c.Pool}, "labels": c.Labels} {
		for _, w := range words {
			if (w != "" || field == "labels") && !model.CheckLabel(w) {
				bad("%s: %q is not a word of letters, digits and ._=/- of at most 63", field, w)
			}
		}
	}
	if len(c.Labels) > model.MaxLabels {
		bad("labels: %d are too many; at most %d may be", len(c.Labels), model.MaxLabels)
	}
}

func (d Disk) check(bad func(string, ...any)) {
	if d.CollectAbove < 0 || d.CollectAbove > 100 || d.CollectTo < 0 || d.CollectTo > d.CollectAbove {
		bad("disk: collect_above is %d and collect_to %d; they are percent, and the second is not above the first", d.CollectAbove, d.CollectTo)
	}
	if d.KeepImages < 0 || d.MinFreeMiB < 0 {
		bad("disk: keep_images is %d and min_free_mib %d; neither may be negative", d.KeepImages, d.MinFreeMiB)
	}
}

func checkIP(bad func(string, ...any), field, ip string) {
	if ip == "" {
		return
	}
	if _, err := netip.ParseAddr(ip); err != nil {
		bad("%s: %q is not an IP address", field, ip)
	}
}

// LogValue implements slog.LogValuer: secrets stay out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("servers", c.Servers), slog.String("data", c.Data), slog.String("name", c.Name),
		slog.String("address", c.Address), slog.String("registry", c.Registry), slog.String("admin", c.Admin))
}

// resolved fills in what the host itself tells.
func (c Config) resolved() (Config, error) {
	h, err := readHost(c.Servers[0])
	if err != nil {
		return c, err
	}
	setDefault(&c.Name, h.name)
	setDefault(&c.Address, h.address)
	setDefault(&c.MemoryMiB, h.memoryMiB)
	setDefault(&c.CPUMilli, h.cpuMilli)
	if ip, err := netip.ParseAddr(c.Address); err == nil && ip.IsLoopback() {
		setDefault(&c.PublishIP, c.Address)
	}
	setDefault(&c.PublishIP, "0.0.0.0")
	return c, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

func (c Config) docker(nodeID string) docker.Options {
	return docker.Options{
		Host: c.DockerHost, NodeID: nodeID, Address: c.Address, PublishIP: c.PublishIP,
		Registry: c.Registry, AuthFile: c.RegistryAuth,
	}
}

func (c Config) images() images.Config {
	return images.Config{Data: c.Data, CollectAbove: c.Disk.CollectAbove, CollectTo: c.Disk.CollectTo, Keep: c.Disk.KeepImages, MinFreeMiB: c.Disk.MinFreeMiB}
}
