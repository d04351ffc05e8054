package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// adminOf is where dinp answers its own questions.
func adminOf(addr string) string {
	return addr[:len(addr)-1] + "9"
}

// dinp starts the router with a table from disk. There is a Redis only where
// routes change; without one it serves what it has.
func dinp(program string, b *bench, dir, addr string, s setting, fast bool) ([]string, error) {
	snapshot := filepath.Join(dir, "routes")
	t, bad := table.Build(route.Version{Epoch: 1, Seq: 1}, entries(s), table.Empty())
	if len(bad) > 0 {
		return nil, fmt.Errorf("our own table: %v", bad)
	}
	if err := os.WriteFile(snapshot, table.EncodeSnapshot(t), 0o600); err != nil {
		return nil, err
	}
	redis := b.redis
	if redis == "" {
		redis = "127.0.0.1:1"
	}
	listen, secure := addr, ""
	if s.tls {
		listen, secure = addr[:len(addr)-1]+"8", addr
	}
	text := fmt.Sprintf(`router:
  listen: %s
  admin: %s
  snapshot: %s
  fast_path: %v
  redis: {addr: "%s"}
  tls:
    listen: "%s"
    certificates: [{chain: %s/cert.pem, key: %s/key.pem}]
`, listen, adminOf(addr), snapshot, fast, redis, secure, b.dir, b.dir)
	if s.log {
		text += "  access_log: " + filepath.Join(dir, "access.log") + "\n"
	}
	return []string{program, "router", "--config", filepath.Join(dir, "router.yml")}, write(dir, "router.yml", text)
}

// entries are what the leader would have published.
func entries(s setting) map[string]string {
	all := map[string]string{
		route.BackendPrefix + host:  backend("shop", appAddrs[:]...),
		route.BackendPrefix + quiet: backend("quiet", appAddrs[:]...),
	}
	if s.flips != "" {
		all[route.BackendPrefix+flips] = backend("flips", s.flips)
	}
	if s.routes {
		for i := range manyHosts {
			own := fmt.Sprintf("app%d.local", i)
			all[route.BackendPrefix+own] = backend(fmt.Sprintf("app%d", i), appAddrs[:]...)
			for j := range manyPaths {
				all[route.DomainPrefix+hostOf(i)+strings.TrimSuffix(pathOf(j), "/")] = own
			}
		}
	}
	return all
}

func backend(app string, addrs ...string) string {
	b := route.Backend{App: app}
	for i, a := range addrs {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: fmt.Sprintf("%s-%d", app, i), Release: 1, Weight: 100})
	}
	return route.EncodeBackend(b)
}

// addBeside makes peers of other builds of dinp, so that a change is measured
// in one run with what it changes.
func (b *bench) addBeside() {
	for i, program := range strings.FieldsFunc(b.beside, func(r rune) bool { return r == ',' }) {
		p := peer{name: fmt.Sprintf("beside%d", i+1), port: 9250 + 10*i}
		p.command = func(b *bench, dir, addr string, s setting) ([]string, error) {
			return dinp(program, b, dir, addr, s, true)
		}
		peers = append(peers, p)
		b.peers += "," + p.name
	}
}
