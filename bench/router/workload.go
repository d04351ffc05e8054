package main

import (
	"fmt"
	"strings"
)

// setting is how a peer is configured.
type setting struct {
	routes bool // 10,000 over 1,000 hosts, instead of one
	log    bool // the access log is on
	tls    bool
	flips  string // address of the one app that host flips has; "": no such host
}

// workload is a load, and what is to be reached under it.
type workload struct {
	name   string
	text   string
	conns  int
	path   string
	header []string // beside Host
	method string   // "": GET
	body   int
	setting
	target float64 // CPU per request of dinp against nginx
}

var browser = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
	`Sec-Ch-Ua: "Chromium";v="131", "Not_A Brand";v="24", "Google Chrome";v="131"`,
	"Sec-Ch-Ua-Mobile: ?0",
	`Sec-Ch-Ua-Platform: "Linux"`,
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7,zh-CN;q=0.6",
	"Cache-Control: max-age=0",
	"Cookie: JSESSIONID=6A1F0C2D9E8B7A65F4E3D2C1B0A99887; theme=dark; consent=" + "eyJhbmFseXRpY3MiOnRydWUsIm1hcmtldGluZyI6ZmFsc2V9; _ga=GA1.1.1188734521.1731412345; cart=" + "9f0e7d1c5b3a4e2f8d6c7b8a9f0e1d2c",
	"Referer: https://shop.local/catalogue/shoes/running?page=3&sort=price",
	"Sec-Fetch-Dest: document",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-Site: same-origin",
	"Upgrade-Insecure-Requests: 1",
}

// workloads are those of the project's targets.
var workloads = []workload{
	{name: "small", text: "small GET, keep-alive, 64 connections", conns: 64, path: "/", target: 0.6},
	{name: "browser", text: "the same with a browser's headers", conns: 64, path: "/", header: browser, target: 0.75},
	{name: "c512", text: "the same, 512 connections", conns: 512, path: "/", target: 0.5},
	{name: "post", text: "1 KiB POST", conns: 64, path: "/", method: "POST", body: 1024, target: 0.6},
	{name: "64k", text: "64 KiB response", conns: 64, path: "/64k", target: 0.7},
	{name: "routes", text: "10,000 routes over 1,000 hosts", conns: 64, setting: setting{routes: true}, target: 0.6},
	{name: "newconn", text: "new connection per request", conns: 64, path: "/", header: []string{"Connection: close"}, target: 0.9},
	{name: "log", text: "access log on", conns: 64, path: "/", setting: setting{log: true}, target: 0.75},
	{name: "tls", text: "TLS keep-alive", conns: 64, path: "/", setting: setting{tls: true}, target: 1.3},
}

// host is the app's that is measured, quiet that of one which others' troubles
// must not reach, flips one whose route changes.
const (
	host  = "shop.local"
	quiet = "quiet.local"
	flips = "flips.local"
)

// manyHosts and manyPaths are the routes of setting.routes.
const manyHosts, manyPaths = 1000, 10

func hostOf(i int) string { return fmt.Sprintf("h%d.local", i) }
func pathOf(i int) string { return fmt.Sprintf("/p%d/", i) }

// requests returns what clients send, each once and then all over again.
func (w workload) requests() []string {
	if !w.routes {
		return []string{w.request(host, w.path)}
	}
	all := make([]string, 0, 256)
	for i := range cap(all) {
		all = append(all, w.request(hostOf(i*389%manyHosts), pathOf(i*7%manyPaths)))
	}
	return all
}

func (w workload) request(host, path string) string {
	var b strings.Builder
	method := w.method
	if method == "" {
		method = "GET"
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	for _, h := range w.header {
		b.WriteString(h + "\r\n")
	}
	if w.body > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", w.body)
	}
	return b.String() + "\r\n" + strings.Repeat("x", w.body)
}
