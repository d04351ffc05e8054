package router

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/test/testenv"
	"github.com/dinp/dinp/test/traffic"
)

// okApp is an app that reads all it is sent.
func okApp(t testing.TB) string {
	return app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); io.WriteString(w, "ok") })
}

// Whatever befalls Redis, no request fails, and what the leader writes
// afterwards is served.
func TestStability_WhateverBefallsRedis_NoRequestFails(t *testing.T) {
	t.Parallel()
	each, rate := traffic.Measure(t)
	redis := testenv.MortalRedis(t)
	l := newLeader(t, redis.Addr)
	r := start(t, config(t, redis.Addr))
	one, two, three := okApp(t), okApp(t), okApp(t)
	renew := func() { // as the leader does when it finds its version gone
		l.at = route.Version{Epoch: l.at.Epoch + 1}
		l.publish(shop(one, two))
		l.acknowledged("r1")
	}
	renew()
	asked := traffic.Begin(t, traffic.Config{Addr: r.Addr(), Host: "shop.local", Rate: rate, Post: true})
	l.c.FlushAll(t.Context())
	asked.GoOn(t, each, "Redis flushed")
	renew()
	redis.Kill()
	asked.GoOn(t, each, "Redis killed")
	redis.Start()
	asked.GoOn(t, each, "Redis replaced by an empty one")
	renew()
	redis.Save()
	for _, withdrawn := range [][]string{{three}, {two, three}} {
		l.publish(shop(withdrawn...))
		l.acknowledged("r1")
	}
	redis.Kill()
	redis.Start()
	if seq, err := l.c.HGet(context.Background(), route.VersionKey, "seq").Int64(); err != nil || seq != 1 {
		t.Errorf("the stale Redis is at %d, the leader was at %d: %v", seq, l.at.Seq, err)
	}
	asked.GoOn(t, each, "Redis replaced by a stale one")
	renew()
	asked.GoOn(t, 0, "Redis whole again")
	asked.End(t)
}

// A router is replaced by another on the same port, again and again, with Redis
// away: the successor has the table from disk, and nothing is dropped.
func TestStability_RouterReplacedWithRedisAway_NoRequestFails(t *testing.T) {
	t.Parallel()
	each, rate := traffic.Measure(t)
	redis := testenv.MortalRedis(t)
	l := newLeader(t, redis.Addr)
	c := config(t, redis.Addr)
	c.ReusePort, c.Timeouts.Drain = true, time.Minute
	serving := start(t, c)
	c.Listen = serving.Addr()
	l.publish(shop(okApp(t), okApp(t)))
	l.acknowledged("r1")
	testenv.Eventually(t, 20*time.Second, func() error { _, err := os.Stat(c.Snapshot); return err })
	asked := traffic.Begin(t, traffic.Config{Addr: serving.Addr(), Host: "shop.local", Rate: rate, Post: true})
	redis.Kill()
	asked.GoOn(t, each, "Redis killed")
	for range 3 {
		next := start(t, c)
		testenv.Eventually(t, 20*time.Second, func() error {
			if status, why := next.adminGet("/readyz"); status != http.StatusOK {
				return fmt.Errorf("the successor: %d %s", status, why)
			}
			return nil
		})
		serving.end()
		asked.GoOn(t, each, "router replaced")
		if n, _ := next.requests(); n == 0 {
			t.Error("the successor has served nothing")
		}
		serving = next
	}
	asked.End(t)
	if c, err := net.Dial("tcp", redis.Addr); err == nil {
		c.Close()
		t.Error("Redis was there")
	}
}
