package wire

import (
	"context"
	"crypto/subtle"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const secretHeader = "dinp-cluster-secret"

// Credential is the cluster's shared secret as gRPC call credentials: every
// part sends it, every server demands it.
type Credential string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c Credential) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{secretHeader: string(c)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. The
// secret travels as it is: the cluster's gRPC port belongs on a private network.
func (c Credential) RequireTransportSecurity() bool { return false }

// String keeps the secret out of logs.
func (c Credential) String() string { return "[redacted]" }

// Unary refuses calls that do not carry the secret.
func (c Credential) Unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := c.check(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream refuses streams that do not carry the secret.
func (c Credential) Stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := c.check(ss.Context()); err != nil {
		return err
	}
	return next(srv, ss)
}

func (c Credential) check(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get(secretHeader) {
		if c != "" && subtle.ConstantTimeCompare([]byte(v), []byte(c)) == 1 {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "the cluster secret is missing or wrong")
}
