package reconcile

import (
	"context"

	"github.com/dinp/dinp/sql/store"
)

// ahead is a Store of which the first World is read before it is asked for, while
// the routes in force are: with a million instances each takes seconds. Nobody
// writes in between, since only the leader does, and it begins with that.
type ahead struct {
	Store
	first chan firstWorld // gets one, and is closed
}

type firstWorld struct {
	store.World
	err error
}

func readAhead(s Store) *ahead { return &ahead{Store: s, first: make(chan firstWorld, 1)} }

// read reads what the first World is to return. It is called once.
func (a *ahead) read(ctx context.Context) {
	w, err := a.Store.World(ctx)
	a.first <- firstWorld{w, err}
	close(a.first)
}

// World is Store's; the first one may have been read already.
func (a *ahead) World(ctx context.Context) (store.World, error) {
	select {
	case w, is := <-a.first:
		if is {
			return w.World, w.err
		}
		return a.Store.World(ctx)
	case <-ctx.Done():
		return store.World{}, ctx.Err()
	}
}
