package reconcile

import (
	"context"
	"log/slog"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/sql/store"
)

// Deps are what the reconciler acts by and asks.
type Deps struct {
	Store   Store
	Routes  Routes
	Traffic Traffic
	Now     func() time.Time // must carry the monotonic clock where there is one
	NewID   func() string    // of an instance: unique for ever
	Log     *slog.Logger
	// Tail reads an instance's last lines and calls done with them, in the
	// reconciler's goroutine, later; it must not block.
	Tail func(s dispatch.Session, instanceID string, done func(lines []string))
	// TurnedAway is why a node's agent does not get in, as far as this server has
	// seen it; nil when it has not. It may be nil itself.
	TurnedAway func(nodeID string) error
}

// Store is the part of the database that the leader reads and writes;
// *store.Store is one. Apply is all or nothing, and store.ErrLost when the lease
// is another's; after any other error what was written is not known.
type Store interface {
	Wish(ctx context.Context) (store.Wish, error)
	World(ctx context.Context) (store.World, error)
	ReleasesByID(ctx context.Context, ids []string) (map[string]model.Release, error)
	AppByID(ctx context.Context, id string) (model.App, error)
	Domains(ctx context.Context, appID string) ([]model.Domain, error)
	HasInstance(ctx context.Context, id string) (bool, error)
	Apply(ctx context.Context, l store.Lease, c store.Control) error
}

// Routes is where routes are published; *publish.Publisher is one.
type Routes interface {
	Current(ctx context.Context) (table map[string]string, h route.Head, err error) // h is zero when there is none
	Set(changes []route.Change) (revision uint64)
	Complete()
	Hold(held bool)   // while it is held nothing is written
	Revision() uint64 // at which all that was Set, and Complete, is served
	Served() uint64
	Routers() []route.RouterLine
}
