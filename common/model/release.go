package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Release is one immutable, numbered content of an app: any change of image,
// environment, command, port, health, memory or CPU makes a new one; a rollback
// makes a new one whose content is an old one's.
type Release struct {
	ID        string
	AppID     string
	Number    int    // v1, v2, … per app
	Spec      Spec   // what runs
	BuildID   string // the build that made the image; "" if none did
	Cause     Cause
	Note      string
	CreatedBy string // user name
	CreatedAt time.Time
}

// Cause says which action made a release.
type Cause string

// The causes of a release.
const (
	CauseDeploy   Cause = "deploy"
	CauseEnv      Cause = "env"
	CauseRestart  Cause = "restart"
	CauseRollback Cause = "rollback"
	CauseSettings Cause = "settings"
	CauseRebase   Cause = "rebase"
)

// Spec is everything about a release that reaches a container.
type Spec struct {
	Image     string            `json:"image"`             // repository@sha256:… within the platform's registry
	Runtime   string            `json:"runtime"`           // static, binary, tomcat, …
	Artifact  string            `json:"artifact"`          // sha256 of the upload, hex; "" for image deploys
	Command   []string          `json:"command,omitempty"` // nil: the image's own
	Env       map[string]string `json:"env,omitempty"`
	Port      int               `json:"port"`             // the port the app listens on, told to it as PORT
	Health    string            `json:"health,omitempty"` // HTTP path; "": any answer below 500 at / counts
	MemoryMiB int64             `json:"memory_mib"`
	CPUMilli  int64             `json:"cpu_milli"`         // thousandths of a core; 0: a fair share, no limit
	Deadline  Duration          `json:"deadline"`          // for a new release to become ready
	Strategy  string            `json:"strategy"`          // rolling, bluegreen or canary
	Steps     []int             `json:"steps,omitempty"`   // of a canary: shares of the requests in percent, growing; nil: DefaultSteps
	Observe   Duration          `json:"observe,omitempty"` // of each canary step; after bluegreen's change, the old release stays so long; 0: the default
	Drain     Duration          `json:"drain"`             // between un-routing and the stop signal
	Grace     Duration          `json:"grace"`             // between the stop signal and the kill
}

// Duration is a time.Duration whose JSON form is text such as "30s".
type Duration time.Duration

// MarshalJSON writes the text form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads the text form.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// Defaults and limits of a Spec.
const (
	DefaultPort      = 8080
	DefaultMemoryMiB = 256
	MinMemoryMiB     = 16
	MaxMemoryMiB     = 1 << 20 // 1 TiB
	MaxCPUMilli      = 512_000
	MaxEnvVars       = 500
	MaxEnvBytes      = 256 << 10 // names and values together
	DefaultDeadline  = Duration(5 * time.Minute)
	DefaultDrain     = Duration(10 * time.Second)
	DefaultGrace     = Duration(30 * time.Second)
)

// WithDefaults returns the spec with every unset field at its default.
func (s Spec) WithDefaults() Spec {
	if s.Port == 0 {
		s.Port = DefaultPort
	}
	if s.MemoryMiB == 0 {
		s.MemoryMiB = DefaultMemoryMiB
	}
	if s.Deadline == 0 {
		s.Deadline = DefaultDeadline
	}
	if s.Drain == 0 {
		s.Drain = DefaultDrain
	}
	if s.Grace == 0 {
		s.Grace = DefaultGrace
	}
	if s.Strategy == "" {
		s.Strategy = StrategyRolling
	}
	return s
}

var (
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	imageRef = regexp.MustCompile(`^[a-z0-9][a-z0-9./_-]*@sha256:[0-9a-f]{64}$`)
)

// PlatformEnv are the variables that dinp sets itself in every instance.
var PlatformEnv = []string{"APP_NAME", "PORT", "HOST_IP", "DINP_APP", "DINP_RELEASE", "DINP_INSTANCE", "DINP_SLOT"}

// Check returns the first thing wrong with the spec, as an *Error. Image may be
// empty: a build fills it in later.
func (s Spec) Check() error {
	switch {
	case s.Image != "" && !imageRef.MatchString(s.Image):
		return E(CodeNoImage, "image %q is not repository@sha256:digest", clip(s.Image, 120))
	case s.Port < 1 || s.Port > 65535:
		return E(CodeBadSize, "port is %d; it must be 1 to 65535", s.Port)
	case s.MemoryMiB < MinMemoryMiB || s.MemoryMiB > MaxMemoryMiB:
		return E(CodeBadSize, "memory is %d MiB; it must be %d to %d MiB", s.MemoryMiB, MinMemoryMiB, MaxMemoryMiB).
			WithNext("set it as in --memory 256M")
	case s.CPUMilli < 0 || s.CPUMilli > MaxCPUMilli:
		return E(CodeBadSize, "cpu is %d thousandths; it must be 0 to %d", s.CPUMilli, MaxCPUMilli)
	case s.Deadline < Duration(time.Second) || s.Deadline > Duration(24*time.Hour):
		return E(CodeBadSize, "deadline is %s; it must be 1s to 24h", time.Duration(s.Deadline))
	case s.Drain < 0 || s.Drain > Duration(time.Hour) || s.Grace < 0 || s.Grace > Duration(time.Hour):
		return E(CodeBadSize, "drain is %s and stop grace %s; each must be 0s to 1h", time.Duration(s.Drain), time.Duration(s.Grace))
	}
	if err := s.checkStrategy(); err != nil {
		return err
	}
	if err := CheckHealthPath(s.Health); err != nil {
		return err
	}
	return CheckEnv(s.Env)
}

// CheckHealthPath returns a CodeBadSize error unless p is "" or an absolute URL path.
func CheckHealthPath(p string) error {
	if p == "" {
		return nil
	}
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }
	if !strings.HasPrefix(p, "/") || len(p) > 1024 || strings.ContainsFunc(p, bad) {
		return E(CodeBadSize, "health path %q must begin with / and hold no spaces, control characters or #", clip(p, 80))
	}
	if _, err := url.ParseRequestURI(p); err != nil {
		return E(CodeBadSize, "health path %q is not the path of a URL", clip(p, 80)).WithNext("write a percent sign as %%25")
	}
	return nil
}

// CheckEnv returns a CodeBadEnv error unless every name and value may be set.
func CheckEnv(env map[string]string) error {
	if len(env) > MaxEnvVars {
		return E(CodeBadEnv, "%d environment variables; at most %d are allowed", len(env), MaxEnvVars)
	}
	size := 0
	for _, k := range slices.Sorted(maps.Keys(env)) {
		size += len(k) + len(env[k])
		switch {
		case !envName.MatchString(k) || len(k) > 200:
			return E(CodeBadEnv, "environment variable name %q must be letters, digits and _, not beginning with a digit", clip(k, 80))
		case strings.ContainsRune(env[k], 0):
			return E(CodeBadEnv, "the value of %s holds a NUL byte", k)
		case slices.Contains(PlatformEnv, k):
			return E(CodeBadEnv, "%s is set by the platform itself", k).WithNext("choose another name; the app's port is set with --port")
		}
	}
	if size > MaxEnvBytes {
		return E(CodeBadEnv, "the environment has %d bytes; at most %d are allowed", size, MaxEnvBytes)
	}
	return nil
}

// Hash identifies the spec's content: 16 hex digits of a SHA-256 over its JSON.
func (s Spec) Hash() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("model: marshal spec: " + err.Error()) // plain strings and numbers: cannot happen
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Version is the release's number as people write it: v1, v2, …
func (r Release) Version() string { return "v" + strconv.Itoa(r.Number) }

// ParseVersion reads "v12" or "12".
func ParseVersion(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "v"))
	if err != nil || n < 1 {
		return 0, E(CodeBadRequest, "%q is not a release; releases are v1, v2, …", clip(s, 40))
	}
	return n, nil
}

// ParseMemory reads "256M", "256MiB", "1G" or plain bytes of MiB ("256") as MiB.
func ParseMemory(s string) (int64, error) {
	bad := E(CodeBadSize, "memory %q is not a size", clip(s, 40)).WithNext("write it as 256M or 2G")
	t := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), "b"), "i")
	factor := int64(1)
	switch {
	case strings.HasSuffix(t, "m"):
		t = strings.TrimSuffix(t, "m")
	case strings.HasSuffix(t, "g"):
		t, factor = strings.TrimSuffix(t, "g"), 1024
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n <= 0 || n > MaxMemoryMiB/factor {
		return 0, bad
	}
	return n * factor, nil
}

// ParseCPU reads "0.5" or "2" cores as thousandths of a core.
func ParseCPU(s string) (int64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f >= 0 && f <= MaxCPUMilli/1000) {
		return 0, E(CodeBadSize, "cpu %q is not a number of cores", clip(s, 40)).WithNext("write it as 0.5 or 2")
	}
	return int64(f*1000 + 0.5), nil
}
