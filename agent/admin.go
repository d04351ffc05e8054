package agent

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dinp/dinp/common/model"
)

// adminMux is the agent's own small web: for supervisors, Prometheus and people.
func (a *Agent) adminMux() http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collector{a})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /debug/state", a.debugState)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}

// readyz says whether orders can be had and carried out, and if not, why.
func (a *Agent) readyz(w http.ResponseWriter, _ *http.Request) {
	d, s := a.watch.Docker(), a.client.State()
	if d.OK && s.Connected {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	if !d.OK {
		fmt.Fprintf(w, "docker at %s: %s\n", a.cfg.DockerHost, d.Error)
	}
	if !s.Connected {
		fmt.Fprintf(w, "no leader among %q: %s\n", a.cfg.Servers, s.LastError)
	}
}

func (a *Agent) debugState(w http.ResponseWriter, _ *http.Request) {
	memory, cpu := a.set.Reserved()
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	err := enc.Encode(map[string]any{
		"node": a.NodeID(), "boot": a.bootID, "name": a.cfg.Name, "address": a.cfg.Address, "zone": a.cfg.Zone,
		"memory_mib": a.cfg.MemoryMiB, "memory_reserved_mib": memory, "cpu_milli": a.cfg.CPUMilli, "cpu_reserved_milli": cpu,
		"docker": a.watch.Docker(), "docker_version": a.watch.Version(),
		"disk": a.images.Usage(), "disk_short": a.images.Short(), "session": a.client.State(), "epoch": a.journal.Epoch(), "instances": a.set.Snapshot(),
	})
	if err != nil {
		a.log.Debug("debug state not written", "err", err)
	}
}

// collector reads the agent's facts at each scrape: nothing is counted twice.
type collector struct{ a *Agent }

var (
	instancesDesc = prometheus.NewDesc("dinp_agent_instances", "Instances by phase.", []string{"phase"}, nil)
	reservedDesc  = prometheus.NewDesc("dinp_agent_memory_reserved_mib", "Memory promised to instances.", nil, nil)
	memoryDesc    = prometheus.NewDesc("dinp_agent_memory_mib", "Memory that instances may reserve.", nil, nil)
	pullsDesc     = prometheus.NewDesc("dinp_agent_pulls", "Images being pulled.", nil, nil)
	dockerDesc    = prometheus.NewDesc("dinp_agent_docker_up", "Whether the engine answers.", nil, nil)
	sessionDesc   = prometheus.NewDesc("dinp_agent_session_up", "Whether a leader is connected.", nil, nil)
	freeDesc      = prometheus.NewDesc("dinp_agent_disk_free_mib", "Room left on the engine's file system.", nil, nil)
	shortDesc     = prometheus.NewDesc("dinp_agent_disk_short", "Whether there is too little room for more instances.", nil, nil)
	epochDesc     = prometheus.NewDesc("dinp_agent_epoch", "Highest epoch obeyed.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{instancesDesc, reservedDesc, memoryDesc, pullsDesc, dockerDesc, sessionDesc, freeDesc, shortDesc, epochDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	var phases [model.PhaseGone + 1]int
	for _, o := range c.a.set.Snapshot() {
		phases[o.Phase]++
	}
	for p, n := range phases {
		gauge(instancesDesc, float64(n), model.Phase(p).String())
	}
	memory, _ := c.a.set.Reserved()
	gauge(reservedDesc, float64(memory))
	gauge(memoryDesc, float64(c.a.cfg.MemoryMiB))
	gauge(pullsDesc, float64(c.a.set.Pulling()))
	gauge(dockerDesc, truth(c.a.watch.Docker().OK))
	gauge(sessionDesc, truth(c.a.client.State().Connected))
	gauge(freeDesc, float64(c.a.images.Usage().FreeMiB))
	gauge(shortDesc, truth(c.a.images.Short() != ""))
	gauge(epochDesc, float64(c.a.journal.Epoch().Max))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
