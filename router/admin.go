package router

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/balance"
)

func (r *Router) adminServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", r.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(r.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/table", r.debugTable)
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
}

// Ready reports whether the router should get traffic, and if not, why: it
// needs any table it ever accepted, from Redis or from disk.
func (r *Router) Ready() (ok bool, why string) {
	switch {
	case r.stopping.Load():
		return false, "stopping"
	case r.set.Table().Version() == route.Version{}:
		return false, "no route table yet: none on disk, and none read from Redis"
	}
	return true, "ok"
}

func (r *Router) readyz(w http.ResponseWriter, _ *http.Request) {
	ok, why := r.Ready()
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Write([]byte(why + "\n"))
}

// tableView is /debug/table.
type tableView struct {
	ID        string            `json:"id"`
	Serves    route.Version     `json:"serves"`
	Follows   route.Version     `json:"follows"`
	Held      bool              `json:"withdrawal_held"`
	Connected bool              `json:"redis_connected"`
	Refusals  map[string]uint64 `json:"refusals"`
	Backends  []backendView     `json:"backends"`
	Domains   map[string]string `json:"domains"`
	Omitted   int               `json:"omitted,omitempty"` // hosts and domains that were asked for, and are not shown
}

type backendView struct {
	Host        string          `json:"host"`
	App         string          `json:"app"`
	Maintenance bool            `json:"maintenance,omitempty"`
	Endpoints   []balance.State `json:"endpoints"`
}

// maxShown bounds the hosts, and the domains, of one answer: a table may hold
// hundreds of thousands.
const maxShown = 1000

// debugTable shows the table in use and the state of its endpoints; with
// ?host=TEXT only what has the text in its host, its domain or its app's name.
// An app's settings are not shown: they hold hashes of passwords.
func (r *Router) debugTable(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(r.view(strings.ToLower(req.URL.Query().Get("host"))))
}

func (r *Router) view(text string) tableView {
	t, s := r.set.Table(), r.source.Status()
	v := tableView{
		ID: r.cfg.ID, Serves: t.Version(), Follows: s.Follows, Held: s.Held, Connected: s.Connected,
		Refusals: s.Refusals, Domains: map[string]string{}, Backends: []backendView{},
	}
	for _, b := range t.Backends() {
		switch {
		case !strings.Contains(b.Host, text) && !strings.Contains(b.App, text):
		case len(v.Backends) == maxShown:
			v.Omitted++
		default:
			v.Backends = append(v.Backends, backendView{Host: b.Host, App: b.App, Maintenance: b.Maintenance, Endpoints: r.set.States(b)})
		}
	}
	for domain, host := range t.Domains() {
		switch {
		case !strings.Contains(domain, text) && !strings.Contains(host, text):
		case len(v.Domains) == maxShown:
			v.Omitted++
		default:
			v.Domains[domain] = host
		}
	}
	return v
}
