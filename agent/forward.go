package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// forward copies bytes between a loopback port and the registry.
type forward struct {
	lis net.Listener
	to  string
	log *slog.Logger
}

const forwardDialTimeout = 10 * time.Second

func listenForward(f Forward, log *slog.Logger) (*forward, error) {
	lis, err := net.Listen("tcp", f.Listen)
	if err != nil {
		return nil, err
	}
	return &forward{lis: lis, to: f.To, log: log}, nil
}

// Run serves connections until ctx ends, and ends them with it.
func (f *forward) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { _ = f.lis.Close() })()
	for {
		conn, err := f.lis.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			f.log.Warn("registry forward: accept", "err", err)
			sleep(ctx, time.Second) // out of file descriptors, most often
			continue
		}
		wg.Go(func() { f.serve(ctx, conn) })
	}
}

func (f *forward) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	dctx, cancel := context.WithTimeout(ctx, forwardDialTimeout)
	defer cancel()
	registry, err := new(net.Dialer).DialContext(dctx, "tcp", f.to)
	if err != nil {
		f.log.Warn("registry not reached", "to", f.to, "err", err)
		return
	}
	defer registry.Close()
	// Closing both ends lets the two copies below return.
	defer context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = registry.Close()
	})()
	var wg sync.WaitGroup
	wg.Go(func() { pipe(registry, client) })
	wg.Go(func() { pipe(client, registry) })
	wg.Wait()
}

// pipe copies until its source ends, and passes the end on.
func pipe(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // a broken connection is seen by the engine, which retries
	if c, ok := dst.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
}
