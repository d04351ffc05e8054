package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// stream is a server stream of which only the context matters.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

func TestCredential_LetsIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want Credential
		sent []string
		ok   bool
	}{
		"right": {"s3cret", []string{"s3cret"}, true}, "wrong": {"s3cret", []string{"guess"}, false}, "prefix": {"s3cret", []string{"s3cre"}, false}, "none": {"s3cret", nil, false},
		"empty": {"s3cret", []string{""}, false}, "one of two": {"s3cret", []string{"x", "s3cret"}, true},
		"none is configured": {"", []string{""}, false}, // an unset secret must not mean an open door
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			md := metadata.MD{}
			for _, v := range c.sent {
				md.Append(secretHeader, v)
			}
			ctx := metadata.NewIncomingContext(t.Context(), md)
			called := 0
			_, unary := c.want.Unary(ctx, nil, nil, func(context.Context, any) (any, error) { called++; return nil, nil })
			streamed := c.want.Stream(nil, stream{ctx: ctx}, nil, func(any, grpc.ServerStream) error { called++; return nil })
			for _, err := range []error{unary, streamed} {
				if (err == nil) != c.ok || !c.ok && status.Code(err) != codes.Unauthenticated {
					t.Errorf("got %v", err)
				}
			}
			if called != 0 != c.ok {
				t.Errorf("the handlers were called %d times", called)
			}
		})
	}
	if err := Credential("x").check(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without metadata: %v", err)
	}
}

func TestCredential_SendsWhatItDemands(t *testing.T) {
	t.Parallel()
	c := Credential("s3cret")
	sent, err := c.GetRequestMetadata(t.Context())
	if err != nil || c.check(metadata.NewIncomingContext(t.Context(), metadata.New(sent))) != nil || c.RequireTransportSecurity() {
		t.Errorf("sent %v, %v", sent, err)
	}
	if strings.Contains(fmt.Sprint(c)+fmt.Sprintf("%v %s %+v", c, c, c), "s3cret") {
		t.Error("the secret is printed")
	}
}
