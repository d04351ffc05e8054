package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

type object map[string]any

// caddy writes Caddy's JSON, which is what its own configuration language becomes.
func caddy(b *bench, dir, addr string, s setting) ([]string, error) {
	if b.caddy == "" {
		return nil, errors.New("no program is given: -caddy")
	}
	proxy := object{
		"handler":   "reverse_proxy",
		"upstreams": []object{{"dial": appAddrs[0]}, {"dial": appAddrs[1]}},
		"headers": object{"request": object{"set": object{
			"X-Real-Ip": []string{"{http.request.remote.host}"}, "X-Request-Id": []string{"{http.request.uuid}"},
		}}},
		"transport": object{"protocol": "http", "keep_alive": object{"max_idle_conns_per_host": 512}},
	}
	routes := []object{{"match": []object{{"host": []string{host}}}, "handle": []object{proxy}}}
	if s.routes {
		for i := range manyHosts {
			var under []object
			for j := range manyPaths {
				under = append(under, object{"match": []object{{"path": []string{pathOf(j) + "*"}}}, "handle": []object{proxy}})
			}
			routes = append(routes, object{
				"match": []object{{"host": []string{hostOf(i)}}}, "handle": []object{{"handler": "subroute", "routes": under}}, "terminal": true,
			})
		}
	}
	server := object{"listen": []string{addr}, "routes": routes, "automatic_https": object{"disable": true}}
	config := object{"admin": object{"disabled": true, "config": object{"persist": false}}, "apps": object{"http": object{"servers": object{"web": server}}}}
	if s.log {
		server["logs"] = object{"default_logger_name": "access"}
		config["logging"] = object{"logs": object{
			"default": object{"exclude": []string{"http.log.access.access"}},
			"access": object{
				"include": []string{"http.log.access.access"}, "encoder": object{"format": "json"},
				"writer": object{"output": "file", "filename": filepath.Join(dir, "access.log"), "roll": false},
			},
		}}
	}
	if s.tls {
		server["tls_connection_policies"] = []object{{}}
		config["apps"].(object)["tls"] = object{"certificates": object{"load_files": []object{
			{"certificate": filepath.Join(b.dir, "cert.pem"), "key": filepath.Join(b.dir, "key.pem")},
		}}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	return []string{b.caddy, "run", "--config", filepath.Join(dir, "caddy.json")},
		os.WriteFile(filepath.Join(dir, "caddy.json"), text, 0o600)
}
