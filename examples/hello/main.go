// Command hello is a sample app: the smallest program that behaves well on the platform. It listens where it is told,
// writes what it does to standard output, says whether it is healthy, and ends cleanly on SIGTERM.
//
// Some addresses are for trying the platform out: /env shows a variable, /slow takes its time, /crash ends the process.
// With the variable FAIL set, the page answers 500, though the program is healthy: a canary for trying out.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	port := flag.String("port", cmp.Or(os.Getenv("PORT"), "8080"), "port to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, net.JoinHostPort("", *port)); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then finishes the requests in flight.
func run(ctx context.Context, addr string) error {
	server := &http.Server{Addr: addr, Handler: logged(routes(os.Exit)), ReadHeaderTimeout: 10 * time.Second}
	fmt.Println("hello: listening on", addr)
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Println("hello: told to end, finishing what is open")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	err := server.Shutdown(drain)
	fmt.Println("hello: ended")
	return err
}

// routes is the whole URL map. exit ends the process; a test passes its own.
func routes(exit func(int)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /env", env)
	mux.HandleFunc("GET /slow", slow)
	mux.HandleFunc("GET /crash", func(http.ResponseWriter, *http.Request) {
		fmt.Fprintln(os.Stderr, "hello: crashing, as asked")
		exit(3)
	})
	return mux
}

var page = template.Must(template.New("home").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.App}}</title>
<style>body{font:1.1rem/1.6 system-ui;margin:15vh auto;max-width:36rem;padding:0 1rem}dt{color:#667}dd{margin:0 0 .6rem}</style>
<h1>{{.Greeting}}</h1>
<dl><dt>app</dt><dd>{{.App}}</dd><dt>instance</dt><dd>{{.Host}}</dd></dl>
`))

// home greets with the text of the variable GREETING: change it and see a new release come.
func home(w http.ResponseWriter, _ *http.Request) {
	if os.Getenv("FAIL") != "" {
		http.Error(w, "it fails, as asked by FAIL", http.StatusInternalServerError)
		return
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err = page.Execute(w, map[string]string{
		"App":      cmp.Or(os.Getenv("APP_NAME"), "hello"),
		"Greeting": cmp.Or(os.Getenv("GREETING"), "Hello, world!"),
		"Host":     host,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello: home:", err)
	}
}

// env answers with one variable of the environment. A real app must never do this.
func env(w http.ResponseWriter, r *http.Request) {
	value, set := os.LookupEnv(r.FormValue("name"))
	if !set {
		http.Error(w, "not set", http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, value)
}

// slow answers after ?ms= milliseconds, a minute at most.
func slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.FormValue("ms"))
	if err != nil || ms < 0 || ms > 60_000 {
		http.Error(w, "ms: want a number from 0 to 60000", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		fmt.Fprintf(w, "took %d ms\n", ms)
	case <-r.Context().Done():
	}
}

// statusWriter remembers the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// logged writes one line per request to standard output, where the platform collects it.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			fmt.Printf("%s %s %d %v\n", r.Method, r.URL.RequestURI(), s.status, time.Since(began).Round(time.Microsecond))
		}()
		next.ServeHTTP(s, r)
	})
}
