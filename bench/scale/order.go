package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"runtime"
	"time"
)

// order is what a child process of the benchmark is started with, as JSON in
// its environment: its part and where the others are.
type order struct {
	Part     string // "herd", "server" or "streams"
	ID       string
	Listen   string
	Database string
	Redis    string
	Servers  []string
	First    int // number of a herd's first agent
	Nodes    int
	Hands    int           // how many of a herd's agents shake hands at once
	Alone    bool          // a herd without a health monitor
	Hasty    bool          // short times, for the test of the benchmark
	Sweep    time.Duration // of a server; 0 for the default
	Profile  string        // files of profiles begin so
}

const orderVariable = "DINP_BENCH_SCALE_ORDER"

// runOrder is the whole of a child process.
func runOrder(ctx context.Context, text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	if o.Profile != "" {
		runtime.MemProfileRate = 64 << 10
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	switch o.Part {
	case "herd":
		return runHerd(ctx, o)
	case "streams":
		return runStreams(ctx, o)
	}
	return runServer(ctx, o)
}
