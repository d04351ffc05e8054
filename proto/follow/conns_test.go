package follow

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/dinp/dinp/proto/pki/pkitest"
	"github.com/dinp/dinp/test/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server of the cluster without any service, and returns its address.
func serve(t *testing.T, c *pkitest.Cluster) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(c.Server()...)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	t.Cleanup(func() { s.Stop(); <-ended })
	return ln.Addr().String()
}

// connsTo returns connections of an agent, and how many were dialled.
func connsTo(t *testing.T, c *pkitest.Cluster, servers ...string) (*Conns, *int) {
	t.Helper()
	id, dialled := c.Agent("n1"), new(int)
	conns := NewConns(servers, func(addr string) (*grpc.ClientConn, error) { *dialled++; return Dial(addr, id) })
	t.Cleanup(conns.Close)
	return conns, dialled
}

func ready(t *testing.T, c *Conns, want int) {
	t.Helper()
	testenv.Eventually(t, time.Minute, func() error {
		if n := c.Ready(); n != want {
			return fmt.Errorf("%d connections are good, want %d", n, want)
		}
		return nil
	})
}

func TestConns_StandByAtAllServers(t *testing.T) {
	t.Parallel()
	cluster := pkitest.New()
	a := serve(t, cluster)
	b := serve(t, cluster)
	conns, dialled := connsTo(t, cluster, a, b)
	conns.Connect()
	ready(t, conns, 2)
	for _, addr := range []string{a, b} { // the leader changes, twice
		if _, err := conns.To(addr); err != nil {
			t.Fatal(err)
		}
		conns.Ended(addr, &Moved{Addr: b}, false)
		conns.Ended(addr, errors.New("this server leads no more"), true)
	}
	conns.Connect()
	if *dialled != 2 || conns.Ready() != 2 {
		t.Errorf("%d dialled, %d good; want 2 and 2", *dialled, conns.Ready())
	}
}

func TestConns_WhatHasNotShownThatItIsGoodIsReplaced(t *testing.T) {
	t.Parallel()
	cluster := pkitest.New()
	a := serve(t, cluster)
	for name, end := range map[string]struct {
		addr        string
		err         error
		established bool
	}{
		"silent":           {a, errSilent, true},
		"does not read":    {a, errStuck, true},
		"refused us":       {a, errors.New("the certificate was revoked"), false},
		"not one of ours":  {"10.0.0.9:1970", &Moved{}, true},
		"could not be met": {a, errors.New("connection refused"), false},
	} {
		conns, _ := connsTo(t, cluster, a)
		before, err := conns.To(end.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns.Ended(end.addr, end.err, end.established)
		if after, err := conns.To(end.addr); err != nil || after == before {
			t.Errorf("%s: the same connection is used again (%v)", name, err)
		}
	}
}

func TestConns_AServerThatComesBackIsStoodByAgain(t *testing.T) {
	t.Parallel()
	cluster := pkitest.New()
	addr := serve(t, cluster)
	cable := testenv.NewCable(t, "tcp", addr)
	conns, _ := connsTo(t, cluster, cable.Addr)
	conns.Connect()
	ready(t, conns, 1)
	cable.Cut()
	ready(t, conns, 0)
	cable.Join()
	testenv.Eventually(t, time.Minute, func() error {
		conns.Connect()
		if n := conns.Ready(); n != 1 {
			return errors.New("not connected")
		}
		return nil
	})
}
