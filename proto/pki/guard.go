package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// allowed says which role may call what. What is not in it is refused.
var allowed = map[string][]Role{
	pb.Agents_Session_FullMethodName:     {RoleAgent},
	pb.Health_Watch_FullMethodName:       {RoleMonitor},
	pb.Platform_Nudge_FullMethodName:     {RoleDash, RoleBuilder},
	pb.Certificates_Renew_FullMethodName: Roles(),
}

// For everything else of the platform's service: dash asks on behalf of people.
const platformService = "/dinp.v1.Platform/"

// Guard is the answering end: it takes every connection, so that it can say
// what is wrong with the caller's certificate in words, and lets calls through
// by role. Who has no certificate can do nothing but join.
type Guard struct {
	keeper *Keeper
	line   *turnstile // of handshakes

	mu      sync.Mutex // guards all below
	revoked map[string]bool
	open    map[string]map[*watched]bool // connections by the certificate's serial
	turned  map[Identity]error           // why parts of ours were turned away, until they get in again
}

// NewGuard returns the guard of a server.
func NewGuard(k *Keeper) *Guard {
	return &Guard{keeper: k, line: newTurnstile(), revoked: map[string]bool{}, open: map[string]map[*watched]bool{}, turned: map[Identity]error{}}
}

// Options are what makes a gRPC server guarded.
func (g *Guard) Options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.Creds(g.creds()), grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream)}
}

// Revoke replaces the set of revoked serials, and ends their connections.
func (g *Guard) Revoke(serials []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revoked = make(map[string]bool, len(serials))
	for _, s := range serials {
		g.revoked[s] = true
		for c := range g.open[s] {
			go c.Close() // it may wait for a peer that does not read
		}
	}
}

// Caller is who is at the other end of a connection. It implements credentials.AuthInfo.
type Caller struct {
	credentials.TLSInfo
	Identity Identity
	Serial   string
	refused  error // why it is nobody
}

// AuthType implements credentials.AuthInfo.
func (*Caller) AuthType() string { return "dinp" }

func (g *Guard) creds() credentials.TransportCredentials {
	return &guarded{g: g, TransportCredentials: credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		// A ticket would be good for one server's memory only, and costs each handshake.
		SessionTicketsDisabled: true,
		// Asked for and looked at by us: a refusal in TLS is an alert without a reason.
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &g.keeper.pair.Load().tls, nil },
	})}
}

// guarded looks at the caller's certificate once a connection, and ends the
// connection when that expires.
type guarded struct {
	credentials.TransportCredentials
	g *Guard
}

// Clone implements credentials.TransportCredentials.
func (c *guarded) Clone() credentials.TransportCredentials {
	return &guarded{g: c.g, TransportCredentials: c.TransportCredentials.Clone()}
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *guarded) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	turns := &inTurn{Conn: raw, line: c.g.line}
	if err := turns.take(false); err != nil {
		raw.Close()
		return nil, nil, err
	}
	defer turns.pass()
	conn, info, err := c.TransportCredentials.ServerHandshake(turns)
	turns.passed = true
	if err != nil {
		return nil, nil, err
	}
	who := &Caller{TLSInfo: info.(credentials.TLSInfo)}
	if len(who.State.PeerCertificates) == 0 {
		who.refused = errNoCertificate
		return conn, who, nil
	}
	leaf := who.State.PeerCertificates[0]
	who.Serial = leaf.SerialNumber.Text(16)
	roots := c.g.keeper.pair.Load().roots
	if who.Identity, who.refused = verify(leaf, roots, time.Now()); who.refused != nil {
		who.refused = inWords(leaf, who.refused)
		// Whether it was ours once: what a stranger writes into a certificate is not told.
		if id, err := verify(leaf, roots, leaf.NotAfter.Add(-time.Second)); err == nil {
			c.g.turn(id, who.refused)
		}
		return conn, who, nil
	}
	if c.g.isRevoked(who.Serial) {
		c.g.turn(who.Identity, errRevoked(who.Identity))
	} else {
		c.g.turn(who.Identity, nil)
	}
	return c.g.watch(conn, leaf, who.Serial), who, nil
}

var errNoCertificate = errors.New("the caller shows no certificate")

// inWords says what most often is wrong, and what it is wrong with.
func inWords(leaf *x509.Certificate, err error) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %s is good from %s to %s, and it is %s here", leaf.Subject.CommonName,
			leaf.NotBefore.UTC().Format(time.DateTime), leaf.NotAfter.UTC().Format(time.DateTime), time.Now().UTC().Format(time.DateTime))
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of %s was signed for another cluster", leaf.Subject.CommonName)
	}
	return err
}

// watched is a connection that ends with its certificate.
type watched struct {
	net.Conn
	end func()
}

// Close implements net.Conn.
func (w *watched) Close() error {
	w.end()
	return w.Conn.Close()
}

func (g *Guard) watch(conn net.Conn, leaf *x509.Certificate, serial string) net.Conn {
	w := &watched{Conn: conn}
	g.mu.Lock() // end waits for it: the certificate may expire at this very moment
	defer g.mu.Unlock()
	var expiry *time.Timer
	w.end = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		expiry.Stop()
		delete(g.open[serial], w)
		if len(g.open[serial]) == 0 {
			delete(g.open, serial)
		}
	}
	expiry = time.AfterFunc(time.Until(leaf.NotAfter), func() { w.Close() })
	if g.open[serial] == nil {
		g.open[serial] = map[*watched]bool{}
	}
	g.open[serial][w] = true
	return w
}

// admit decides whether a call goes through.
func (g *Guard) admit(ctx context.Context, method string) (*Caller, error) {
	if method == pb.Certificates_Join_FullMethodName {
		return nil, nil
	}
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return nil, refusal(errNoCertificate)
	}
	who, ok := p.AuthInfo.(*Caller)
	switch {
	case !ok:
		return nil, refusal(errNoCertificate)
	case who.refused != nil:
		return nil, refusal(who.refused)
	case g.isRevoked(who.Serial):
		return nil, refusal(errRevoked(who.Identity))
	case !May(who.Identity.Role, method):
		return nil, status.Errorf(codes.PermissionDenied, "[%s] %s may not call %s", model.CodeWrongIdentity, who.Identity, method)
	}
	return who, nil
}

func errRevoked(id Identity) error { return fmt.Errorf("the certificate of %s was revoked", id) }

// turn notes why a part was turned away; nil when it got in.
func (g *Guard) turn(id Identity, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if why == nil {
		delete(g.turned, id)
		return
	}
	g.turned[id] = why
}

// TurnedAway is why a part that joined once does not get in: its certificate has
// expired, or was revoked. Nil when it got in the last time, or has not come.
func (g *Guard) TurnedAway(id Identity) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turned[id]
}

func (g *Guard) isRevoked(serial string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.revoked[serial]
}

// May reports whether a part of a role may make a call, named as in
// "/dinp.v1.Agents/Session".
func May(r Role, method string) bool {
	return slices.Contains(allowed[method], r) || r == RoleDash && strings.HasPrefix(method, platformService)
}

func refusal(why error) error {
	return status.Errorf(codes.Unauthenticated, "[%s] %v; make a token with `dinp token create-join` and run on that host: dinp join SERVER --token TOKEN", model.CodeNoCertificate, why)
}

func (g *Guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	who, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(withCaller(ctx, who), req)
}

func (g *Guard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	who, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, &guardedStream{ServerStream: ss, who: who})
}

// guardedStream sees to it that an agent speaks for its own node only.
type guardedStream struct {
	grpc.ServerStream
	who *Caller
}

// RecvMsg implements grpc.ServerStream.
func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	a, ok := m.(*pb.AgentMessage)
	if hello := a.GetHello(); ok && hello != nil && hello.GetNodeId() != s.who.Identity.Name {
		return status.Errorf(codes.PermissionDenied, "[%s] the agent says that it is node %q, but its certificate is of %s; give each node its own data folder and let it join by itself",
			model.CodeWrongIdentity, hello.GetNodeId(), s.who.Identity)
	}
	return nil
}

type callerKey struct{}

func withCaller(ctx context.Context, who *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

// CallerOf returns who makes a guarded unary call; nil for a newcomer.
func CallerOf(ctx context.Context) *Caller {
	who, _ := ctx.Value(callerKey{}).(*Caller)
	return who
}
