package builder

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/dinp/dinp/builder/archive"
	"github.com/dinp/dinp/builder/image"
	"github.com/dinp/dinp/builder/source"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
)

// Config is what a builder needs to know. Durations are written as in "15m".
type Config struct {
	ID    string `yaml:"id" help:"name of this builder, another for each; empty: made once, and kept in work_dir"`
	Admin string `yaml:"admin" help:"host:port of /healthz, /readyz and /metrics; empty: none"`

	Registry         string `yaml:"registry" help:"host:port of the image registry"`
	RegistryInsecure bool   `yaml:"registry_insecure" help:"speak plain HTTP with the registry; loopback addresses are spoken to so anyway"`
	RegistryAuthFile string `yaml:"registry_auth_file" help:"file with one line user:password for the registry; empty: it does not ask"`

	DockerHost     string `yaml:"docker_host" help:"Docker engine for Dockerfiles and for images that it alone has, as in unix:///run/docker.sock"`
	DockerRegistry string `yaml:"docker_registry" help:"host:port at which that engine reaches the registry; empty: the same as registry"`

	Servers  []string    `yaml:"servers" help:"gRPC addresses of the servers, told of new releases; empty: they find them in their next sweep"`
	Identity *pki.Keeper `yaml:"-"` // its certificate, from the cluster's authority

	WorkDir     string `yaml:"work_dir" help:"folder where artifacts are unpacked and built; it must have room for them"`
	SigningKey  string `yaml:"signing_key" help:"file of the Ed25519 key that signs statements of provenance, made if it is missing; empty: in work_dir"`
	RuntimesDir string `yaml:"runtimes_dir" help:"folder with more runtimes, or with other versions of those that are built in; empty: none"`

	BasesFile string `yaml:"bases_file" help:"file that names base images in place of the platform's own, by runtime (deploy/bases.yml); empty: none"`

	Concurrency  int            `yaml:"concurrency" help:"builds at a time"`
	BuildTimeout time.Duration  `yaml:"build_timeout" help:"time after which a build is given up"`
	Poll         time.Duration  `yaml:"poll" help:"time between two looks at an empty queue"`
	Lease        time.Duration  `yaml:"lease" help:"time after which another builder takes over the builds of a dead one"`
	Limits       archive.Limits `yaml:"limits"`
	Dockerfile   image.Limits   `yaml:"dockerfile"`
	Sources      source.Config  `yaml:"sources"` // of artifacts by URL
	Import       image.Imports  `yaml:"import"`  // of images by reference
	ReserveMiB   int64          `yaml:"reserve_mib" help:"MiB that must stay free in work_dir beside four times the artifact's size"`
	LarderMiB    int64          `yaml:"larder_mib" help:"MiB of artifacts' parts that stay in work_dir for the next build; 0: none"`
}

// Default returns the defaults of a cluster.
func Default() Config {
	return Config{
		Admin: "127.0.0.1:1974", Registry: "127.0.0.1:5080", DockerHost: image.DefaultDockerHost, WorkDir: "/var/lib/dinp/builder",
		Concurrency: 2, BuildTimeout: 15 * time.Minute, Poll: 50 * time.Millisecond, Lease: 30 * time.Second,
		Limits: archive.DefaultLimits(), Dockerfile: image.DefaultLimits(),
		Sources: source.DefaultConfig(), Import: image.DefaultImports(), ReserveMiB: 256, LarderMiB: 1024,
	}
}

// Validate returns all that is wrong with the configuration.
func (c Config) Validate() error {
	var all []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			all = append(all, model.E(model.CodeBadConfig, "builder: "+format, args...))
		}
	}
	bad(!hostPort(c.Registry), "registry is %q; it must be host:port", c.Registry)
	bad(c.DockerRegistry != "" && !hostPort(c.DockerRegistry), "docker_registry is %q; it must be host:port", c.DockerRegistry)
	bad(c.Admin != "" && !hostPort(c.Admin), "admin is %q; it must be host:port", c.Admin)
	bad(c.WorkDir == "", "work_dir is empty")
	bad(c.Concurrency < 1 || c.Concurrency > 64, "concurrency is %d; it must be 1 to 64", c.Concurrency)
	between := func(name string, d, least, most time.Duration) {
		bad(d < least || d > most, "%s is %s; it must be %s to %s", name, d, least, most)
	}
	between("build_timeout", c.BuildTimeout, time.Second, 24*time.Hour)
	between("poll", c.Poll, 10*time.Millisecond, time.Minute)
	between("lease", c.Lease, time.Second, 10*time.Minute)
	bad(c.ReserveMiB < 0, "reserve_mib is %d; it must be at least 0", c.ReserveMiB)
	bad(c.LarderMiB < 0, "larder_mib is %d; it must be at least 0", c.LarderMiB)
	for _, p := range slices.Concat(c.Limits.Problems(), c.Dockerfile.Problems(), c.Sources.Problems(), c.Import.Problems()) {
		bad(true, "%s", p)
	}
	return errors.Join(all...)
}

func hostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}

// dockerRegistry is the registry's address for the engine.
func (c Config) dockerRegistry() string {
	if c.DockerRegistry != "" {
		return c.DockerRegistry
	}
	return c.Registry
}

// signingKey is the file of the key that signs.
func (c Config) signingKey() string {
	if c.SigningKey != "" {
		return c.SigningKey
	}
	return filepath.Join(c.WorkDir, "signing-key.pem")
}
