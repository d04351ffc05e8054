package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// peer is a proxy that can be measured.
type peer struct {
	name string
	port int // one of its own
	// command writes the peer's configuration into dir, and returns how it is
	// started. It listens at addr.
	command func(b *bench, dir, addr string, s setting) ([]string, error)
}

var peers = []peer{
	{"nginx", 9200, nginx},
	{"haproxy", 9210, haproxy},
	{"caddy", 9220, caddy},
	{"dinp", 9230, func(b *bench, dir, addr string, s setting) ([]string, error) {
		return dinp(b.dinp, b, dir, addr, s, true)
	}},
	{"dinp-full", 9240, func(b *bench, dir, addr string, s setting) ([]string, error) {
		return dinp(b.dinp, b, dir, addr, s, false)
	}},
}

// running is a peer that runs.
type running struct {
	*process
	peer
	addr string
	dir  string
}

func (b *bench) launch(ctx context.Context, p peer, s setting) (*running, error) {
	dir := filepath.Join(b.dir, p.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", p.port)
	args, err := p.command(b, dir, addr, s)
	if err != nil {
		return nil, err
	}
	proc, err := start(ctx, filepath.Join(dir, "log"), args[0], args[1:]...)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, addr); err != nil {
		proc.stop()
		said, _ := os.ReadFile(proc.log)
		return nil, fmt.Errorf("%s: %w: %s", p.name, err, said)
	}
	return &running{process: proc, peer: p, addr: addr, dir: dir}, nil
}

func write(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
}

func nginx(b *bench, dir, addr string, s setting) ([]string, error) {
	log, listen := "access_log off;", addr
	if s.log {
		log = "access_log " + dir + "/access.log;"
	}
	if s.tls {
		listen += " ssl"
		log += fmt.Sprintf(" ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; ssl_protocols TLSv1.2 TLSv1.3;", b.dir)
	}
	var t strings.Builder
	fmt.Fprintf(&t, `daemon off; worker_processes auto; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections %[3]d; }
http {
  %[2]s keepalive_requests 1000000000; server_names_hash_max_size 65536;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  proxy_http_version 1.1; proxy_buffers 16 16k; proxy_max_temp_file_size 0;
  proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Request-Id $request_id; proxy_set_header X-Real-Ip $remote_addr;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;
`, dir, log, descriptors()-100)
	upstream := func(name string, conns int) {
		fmt.Fprintf(&t, "  upstream %s { server %s; server %s; keepalive %d; keepalive_requests 1000000000; }\n", name, appAddrs[0], appAddrs[1], conns)
	}
	upstream("shop", 512)
	fmt.Fprintf(&t, "  server { listen %s backlog=4096; server_name %s; location / { proxy_pass http://shop; } }\n", listen, host)
	if s.flips != "" {
		fmt.Fprintf(&t, "  server { listen %s; server_name %s; location / { proxy_pass http://%s; } }\n", listen, flips, s.flips)
	}
	if s.routes {
		for i := range manyHosts {
			upstream(fmt.Sprintf("app%d", i), 64)
			fmt.Fprintf(&t, "  server { listen %s; server_name %s;\n", addr, hostOf(i))
			for j := range manyPaths {
				fmt.Fprintf(&t, "    location %s { proxy_pass http://app%d; }\n", pathOf(j), i)
			}
			t.WriteString("  }\n")
		}
	}
	t.WriteString("}\n")
	return []string{"nginx", "-p", dir, "-c", dir + "/nginx.conf"}, write(dir, "nginx.conf", t.String())
}

func haproxy(b *bench, dir, addr string, s setting) ([]string, error) {
	log, bind := "", "bind "+addr
	if s.log {
		log = "log stdout format raw local0\n  option httplog\n"
	}
	if s.tls {
		bind += " ssl crt " + b.dir + "/both.pem alpn http/1.1"
	}
	var t, routes strings.Builder
	fmt.Fprintf(&t, `global
  maxconn %d
  nbthread %d
defaults
  mode http
  %stimeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option forwardfor
frontend web
  %s
  http-request set-header X-Forwarded-Proto %%[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %%[req.hdr(Host)]
  http-request set-header X-Request-Id %%[uuid]
  http-request set-header X-Real-Ip %%[src]
`, descriptors()/2-200, cores(), log, bind)
	backend := func(name string) {
		fmt.Fprintf(&routes, "backend %[1]s\n  server a %[2]s\n  server b %[3]s\n", name, appAddrs[0], appAddrs[1])
	}
	if s.routes {
		var paths strings.Builder
		for i := range manyHosts {
			backend(fmt.Sprintf("app%d", i))
			for j := range manyPaths {
				fmt.Fprintf(&paths, "%s%s app%d\n", hostOf(i), pathOf(j), i)
			}
		}
		if err := write(dir, "routes.map", paths.String()); err != nil {
			return nil, err
		}
		fmt.Fprintf(&t, "  use_backend %%[base,map_beg(%s/routes.map,shop)]\n", dir)
	} else {
		t.WriteString("  default_backend shop\n")
	}
	backend("shop")
	return []string{"haproxy", "-db", "-f", dir + "/haproxy.cfg"}, write(dir, "haproxy.cfg", t.String()+routes.String())
}
