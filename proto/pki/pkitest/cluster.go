// Package pkitest gives tests a cluster's authority without a database.
package pkitest

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/dinp/dinp/proto/pki"
)

// Cluster signs for the parts of a test.
type Cluster struct{ CA *pki.CA }

// New makes a cluster. It panics when it cannot, so that it can stand in a variable.
func New() *Cluster {
	ca, err := pki.NewCA(time.Now())
	if err != nil {
		panic(err)
	}
	return &Cluster{CA: ca}
}

// Part returns a part's certificate and key, good for an hour.
func (c *Cluster) Part(role pki.Role, name string) *pki.Keeper {
	return c.PartFor(role, name, time.Hour)
}

// PartFor is Part with another lifetime, which may be over.
func (c *Cluster) PartFor(role pki.Role, name string, life time.Duration) *pki.Keeper {
	return c.sign(role, name, life, "")
}

// Kept is Part, kept in a file.
func (c *Cluster) Kept(role pki.Role, name, path string) *pki.Keeper {
	return c.KeptFor(role, name, time.Hour, path)
}

// KeptFor is PartFor, kept in a file.
func (c *Cluster) KeptFor(role pki.Role, name string, life time.Duration, path string) *pki.Keeper {
	return c.sign(role, name, life, path)
}

func (c *Cluster) sign(role pki.Role, name string, life time.Duration, path string) *pki.Keeper {
	r, err := pki.NewRequest()
	if err != nil {
		panic(err)
	}
	signed, err := c.CA.Sign(r.PEM, pki.Identity{Role: role, Name: name}, time.Now(), life)
	if err != nil {
		panic(err)
	}
	k, err := r.Answered(signed.PEM, path)
	if err != nil {
		panic(err)
	}
	return k
}

// Renewer signs for an identity.
func (c *Cluster) Renewer(id pki.Identity, life time.Duration) pki.Renewer {
	return func(_ context.Context, request []byte) ([]byte, error) {
		s, err := c.CA.Sign(request, id, time.Now(), life)
		return s.PEM, err
	}
}

// Agent is the part of a node.
func (c *Cluster) Agent(node string) *pki.Keeper { return c.Part(pki.RoleAgent, node) }

// Dial is how a part of the cluster calls a server.
func (c *Cluster) Dial(role pki.Role, name string) grpc.DialOption {
	return grpc.WithTransportCredentials(c.Part(role, name).Client())
}

// Server are the options of a guarded server.
func (c *Cluster) Server() []grpc.ServerOption {
	return pki.NewGuard(c.Part(pki.RoleServer, "test")).Options()
}
