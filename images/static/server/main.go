// Command server is the web server of the static runtime: it serves the files of a site, read-only, from one folder.
//
// It is the only process of its container, made for a router in front of it: plain HTTP, no access log (the router
// counts), no configuration beyond PORT and SPA. It uses the standard library alone, because its base image is compiled
// from the sources embedded in dinp, on machines that may reach no module proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drainTime is how long requests in flight may take after SIGTERM: less than the platform's grace before it kills.
const drainTime = 25 * time.Second

func main() {
	root := flag.String("root", "/app", "folder to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *root, os.Getenv("PORT"), os.Getenv("SPA") == "1"); err != nil {
		fmt.Fprintln(os.Stderr, "static:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then finishes the requests in flight.
func run(ctx context.Context, root, port string, spa bool) error {
	if port == "" {
		port = "8080"
	}
	folder, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer folder.Close()
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Printf("static: serving %s on %s\n", root, l.Addr())
	return serve(ctx, l, newSite(folder, spa))
}

func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		// Longer than a router keeps its idle connections, so that it is never we who close one it is about to use.
		IdleTimeout: 5 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := s.Shutdown(drain); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("requests still open after %v: %w", drainTime, err)
	}
	return nil
}
