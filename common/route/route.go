// Package route is the contract between the leader, which writes routes, and
// the routers, which read them: the keys and values in Redis, and their codec.
//
// A person can read all of it with redis-cli:
//
//	GET /rs/shop.example.com     the backend set of an app's host, as JSON
//	GET /cname/www.shop.com      the app host that a custom domain points to
//	GET /cname/*.shop.com        … and for every name one label below shop.com
//	GET /cname/shop.com/api      … and for /api and all below it on shop.com
//	HGETALL /routes/version      epoch and seq of the last write; see Head
//	XRANGE /routes/changes - +   the last changes, one entry a batch
//	HGETALL /routers             what each router last said of itself
//
// No key relies on expiry: times stand in the values.
package route

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
)

// The keys of the route table in Redis.
const (
	BackendPrefix = "/rs/"            // + host → JSON of a Backend
	DomainPrefix  = "/cname/"         // + custom domain, see model.SplitDomain → app host
	VersionKey    = "/routes/version" // hash: a Head
	ChangesKey    = "/routes/changes" // stream: one entry a Batch, field "batch"
	RoutersKey    = "/routers"        // hash: router ID → JSON of a RouterLine
	ChangesLength = 10_000            // the stream is trimmed to about so many
)

// Version orders route writes: leaders by epoch, a leader's writes by seq.
type Version struct {
	Epoch int64 `json:"epoch"`
	Seq   int64 `json:"seq"`
}

// Less reports whether v is older than w.
func (v Version) Less(w Version) bool {
	return v.Epoch < w.Epoch || v.Epoch == w.Epoch && v.Seq < w.Seq
}

// String returns "epoch.seq".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Epoch, v.Seq) }

// Backend is an app's set of endpoints, stored at BackendPrefix + its host.
type Backend struct {
	App         string     `json:"app"`
	Maintenance bool       `json:"maintenance,omitempty"`
	Endpoints   []Endpoint `json:"endpoints"` // sorted by instance
	// How the app's requests are treated. Routers from before it existed ignore it.
	Settings *model.Routing `json:"settings,omitempty"`
	// How long upgraded connections may go on after their endpoint has left; 0 is model.DefaultDrain.
	Drain model.Duration `json:"drain,omitempty"`
}

// Endpoint is one instance that may get requests.
type Endpoint struct {
	Addr     string `json:"addr"` // ip:port
	Instance string `json:"instance"`
	Release  int    `json:"release"`
	Weight   int    `json:"weight"` // relative; see NormalWeight; 0 gets nothing new
}

// NormalWeight is the weight of endpoints that share the requests by their load,
// whatever their release. Where one has another, releases have shares, which the
// weights say, and the load decides only among the endpoints of a release.
const NormalWeight = 100

// Change sets one key, or deletes it when Value is nil.
type Change struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
}

// Batch is one atomic write of the leader: a Version and its changes. Meant says
// that a mass withdrawal in it is on purpose; Partial, that its leader has yet to
// say some of the table in its term: what it has not said is as it was found; or, with
// Anew, is not to be had from Redis: the table there is begun anew (Nothing). Whoever has
// all batches up to one goes on with it, whatever the table in Redis lacks.
type Batch struct {
	Version
	Changes []Change `json:"changes"`
	Meant   bool     `json:"meant,omitempty"`
	Partial bool     `json:"partial,omitempty"`
	Anew    bool     `json:"anew,omitempty"` // only with Partial
}

// RouterLine is what a router writes back of itself under RoutersKey.
type RouterLine struct {
	ID       string    `json:"id"`
	Addr     string    `json:"addr"` // where it serves traffic
	Serves   Version   `json:"serves"`
	At       time.Time `json:"at"`
	Started  time.Time `json:"started"`
	Requests uint64    `json:"requests"` // since it started
	Errors   uint64    `json:"errors"`   // of those, answered 5xx by the router itself
	Stopped  bool      `json:"stopped,omitempty"`
	Apps     []AppLine `json:"apps,omitempty"`    // those with requests of late, the busiest first
	Omitted  int       `json:"omitted,omitempty"` // releases with requests for which Apps has no room
}

// MaxAppLines bounds the releases in a router's line.
const MaxAppLines = 500

// AppLine is what a router counted of one release since it began to count it.
// The counts only grow: whoever reads them takes the difference of two lines
// with the same Started and Since, and adds it up over routers.
type AppLine struct {
	App      string  `json:"app"`
	Release  int     `json:"release"`         // 0: answered before an instance was chosen
	Since    int64   `json:"since,omitempty"` // unix second of the first request counted; 0: an older router's, which does not say
	Requests uint64  `json:"requests"`
	Failed   uint64  `json:"failed"`  // of those, answered 5xx, by the router or the app
	Seconds  float64 `json:"seconds"` // sum of their times
	Latency  string  `json:"latency"` // a histogram.Counts, encoded
}

// RouterLive is how long a router's line counts as that of a live router.
const RouterLive = 10 * time.Second

// Limits of what a decoder accepts.
const (
	maxValueBytes = 4 << 20
	maxEndpoints  = 10_000
)

// EncodeBackend returns the text stored for b.
func EncodeBackend(b Backend) string {
	if s, ok := plainText(b); ok {
		return s
	}
	return encode(b)
}

// EncodeBatch returns the text of a stream entry.
func EncodeBatch(b Batch) string { return encode(b) }

// EncodeRouterLine returns the text stored for a router.
func EncodeRouterLine(l RouterLine) string { return encode(l) }

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("route: encode: " + err.Error()) // plain strings and numbers: cannot happen
	}
	return string(b)
}

// DecodeBackend reads and checks a backend set.
func DecodeBackend(s string) (Backend, error) {
	b, err := readBackend(s)
	if err != nil {
		return Backend{}, fmt.Errorf("decode backend: %w", err)
	}
	if err := model.CheckAppName(b.App); err != nil {
		return Backend{}, fmt.Errorf("decode backend: %w", err)
	}
	if err := b.Settings.Check(); err != nil {
		return Backend{}, fmt.Errorf("decode backend: %w", err)
	}
	if b.Drain < 0 {
		return Backend{}, fmt.Errorf("decode backend: drain is %v", time.Duration(b.Drain))
	}
	if len(b.Endpoints) > maxEndpoints {
		return Backend{}, fmt.Errorf("decode backend: %d endpoints, at most %d are allowed", len(b.Endpoints), maxEndpoints)
	}
	for _, e := range b.Endpoints {
		addr, err := netip.ParseAddrPort(e.Addr)
		if err == nil && addr.Port() == 0 {
			err = fmt.Errorf("%s has port 0", e.Addr)
		}
		if err != nil {
			return Backend{}, fmt.Errorf("decode backend: endpoint: %w", err)
		}
		if e.Weight < 0 || e.Weight > 10_000 {
			return Backend{}, fmt.Errorf("decode backend: weight %d is not 0 to 10000", e.Weight)
		}
	}
	return b, nil
}

func readBackend(s string) (Backend, error) {
	if len(s) <= maxValueBytes {
		if b, ok := plain(s); ok {
			return b, nil
		}
	}
	var b Backend
	err := decode(s, &b)
	return b, err
}

// DecodeBatch reads and checks a stream entry's shape; the values inside are
// decoded one by one with DecodeBackend.
func DecodeBatch(s string) (Batch, error) {
	var b Batch
	if err := decode(s, &b); err != nil {
		return Batch{}, fmt.Errorf("decode batch: %w", err)
	}
	for _, c := range b.Changes {
		host, isApp := strings.CutPrefix(c.Key, BackendPrefix)
		domain, isDomain := strings.CutPrefix(c.Key, DomainPrefix)
		if !isApp && !isDomain || isApp && host == "" || isDomain && domain == "" {
			return Batch{}, fmt.Errorf("decode batch: key %q is neither a host nor a domain", c.Key)
		}
	}
	return b, nil
}

// DecodeRouterLine reads a router's line.
func DecodeRouterLine(s string) (RouterLine, error) {
	var l RouterLine
	if err := decode(s, &l); err != nil {
		return RouterLine{}, fmt.Errorf("decode router line: %w", err)
	}
	return l, nil
}

func decode(s string, into any) error {
	if len(s) > maxValueBytes {
		return fmt.Errorf("%d bytes, at most %d are allowed", len(s), maxValueBytes)
	}
	return json.Unmarshal([]byte(s), into)
}

// Host is the host name of an app in the platform's domain.
func Host(app, domain string) string { return app + "." + domain }
