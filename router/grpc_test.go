package router

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/test/testenv"
)

// raw is a codec of bytes as they are.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), b...)
	return nil
}

// echoes is a gRPC app: it sends back each message at once, counts them in its
// trailers, and fails with the words of a message that begins with "fail ".
func echoes(t *testing.T) string {
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(func(_ any, call grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(call.Context())
		if err := call.SetHeader(metadata.Pairs("greeted", fmt.Sprint(in["greeting"], in["x-forwarded-proto"]))); err != nil {
			return err
		}
		n := 0
		defer func() { call.SetTrailer(metadata.Pairs("count", fmt.Sprint(n))) }()
		for ; ; n++ {
			var m []byte
			if err := call.RecvMsg(&m); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if len(m) > 5 && string(m[:5]) == "fail " {
				return status.Error(codes.FailedPrecondition, string(m[5:]))
			}
			if err := call.SendMsg(&m); err != nil {
				return err
			}
		}
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

func TestRouter_CarriesGRPCOverTLSAndInClear(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(echoes(t)))
	c, trust := secured(t, l.c.Options().Addr, "shop.local")
	r := start(t, c)
	l.acknowledged("r1")
	for name, s := range map[string]struct {
		addr, scheme string
		creds        credentials.TransportCredentials
	}{
		"in clear": {r.Addr(), "http", insecure.NewCredentials()},
		"in TLS":   {r.TLSAddr(), "https", credentials.NewTLS(&tls.Config{RootCAs: trust.RootCAs, ServerName: "shop.local"})},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(s.creds), grpc.WithAuthority("shop.local"),
				grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx := metadata.AppendToOutgoingContext(t.Context(), "greeting", "hello")
			unary(ctx, t, conn, "[hello] ["+s.scheme+"]")
			streams(ctx, t, conn)
			fails(ctx, t, conn)
			cancels(ctx, t, conn)
		})
	}
}

const method = "/shop.Echo/Do"

func unary(ctx context.Context, t *testing.T, conn *grpc.ClientConn, greeted string) {
	t.Helper()
	in, out := make([]byte, 200<<10), []byte(nil)
	in[100<<10] = 7
	var header, trailer metadata.MD
	if err := conn.Invoke(ctx, method, &in, &out, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil || string(out) != string(in) {
		t.Fatalf("%d bytes came back: %v", len(out), err)
	}
	if got := fmt.Sprint(header["greeted"], trailer["count"]); got != fmt.Sprintf("[%s] [1]", greeted) {
		t.Errorf("header and trailer say %s", got)
	}
}

var both = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// streams sees to it that no message waits for the next, in either direction.
func streams(ctx context.Context, t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	call, err := conn.NewStream(ctx, both, method)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		in, out := fmt.Appendf(nil, "message %d", n), []byte(nil)
		if err := call.SendMsg(&in); err != nil {
			t.Fatal(err)
		}
		if err := call.RecvMsg(&out); err != nil || string(out) != string(in) {
			t.Fatalf("%q came back: %v", out, err)
		}
	}
	if err := call.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := call.RecvMsg(new([]byte)); !errors.Is(err, io.EOF) || fmt.Sprint(call.Trailer()["count"]) != "[50]" {
		t.Errorf("ended with %v, trailers %v", err, call.Trailer())
	}
}

func fails(ctx context.Context, t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	in, out := []byte("fail no such thing"), []byte(nil)
	err := conn.Invoke(ctx, method, &in, &out)
	if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "no such thing" {
		t.Errorf("the app's status arrives as %v", err)
	}
}

// cancels sees to it that a call which is given up harms no other of its
// connection.
func cancels(ctx context.Context, t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	short, cancel := context.WithCancel(ctx)
	call, err := conn.NewStream(short, both, method)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := call.RecvMsg(new([]byte)); status.Code(err) != codes.Canceled {
		t.Errorf("a call given up ends with %v", err)
	}
	in, out := []byte("still there"), []byte(nil)
	if err := conn.Invoke(ctx, method, &in, &out); err != nil {
		t.Errorf("the next call: %v", err)
	}
}
