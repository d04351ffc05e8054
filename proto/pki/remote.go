package pki

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// Remote renews at the first of the servers that answers.
func (k *Keeper) Remote(servers []string) Renewer {
	return func(ctx context.Context, request []byte) ([]byte, error) {
		var errs []error
		for _, addr := range servers {
			pem, err := call(addr, k.Client(), func(c pb.CertificatesClient) (*pb.Certificate, error) {
				return c.Renew(ctx, &pb.RenewRequest{Request: request})
			})
			if err == nil {
				return pem, nil
			}
			errs = append(errs, fmt.Errorf("server %s: %w", addr, err))
		}
		return nil, errors.Join(errs...)
	}
}

// Join exchanges a token for the certificate of a part with a name, and keeps
// it in path.
func Join(ctx context.Context, server string, t Token, name, path string) (*Keeper, error) {
	r, err := NewRequest()
	if err != nil {
		return nil, err
	}
	pem, err := call(server, Newcomer(t), func(c pb.CertificatesClient) (*pb.Certificate, error) {
		return c.Join(ctx, &pb.JoinRequest{Secret: t.Secret, Role: string(t.Role), Name: name, Request: r.PEM})
	})
	if err != nil {
		return nil, err
	}
	return r.Answered(pem, path)
}

func call(addr string, c credentials.TransportCredentials, f func(pb.CertificatesClient) (*pb.Certificate, error)) ([]byte, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(c))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := f(pb.NewCertificatesClient(conn))
	return answer.GetPem(), err
}
