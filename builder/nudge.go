package builder

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
)

// nudger tells the servers that a build has made a release, so that the leader acts in milliseconds. All are told: those
// that do not lead refuse, and if none hears, the leader's sweep finds the release.
type nudger struct {
	conns []*grpc.ClientConn
	log   *slog.Logger
}

const nudgeTimeout = time.Second

func newNudger(servers []string, id *pki.Keeper, log *slog.Logger) *nudger {
	n := &nudger{log: log}
	for _, s := range servers {
		c, err := grpc.NewClient(s, grpc.WithTransportCredentials(id.Client()))
		if err != nil {
			log.Warn("server cannot be nudged", "server", s, "err", err)
			continue
		}
		n.conns = append(n.conns, c)
	}
	return n
}

func (n *nudger) nudge(ctx context.Context, appID string) {
	ctx, cancel := context.WithTimeout(ctx, nudgeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range n.conns {
		wg.Go(func() {
			if _, err := pb.NewPlatformClient(c).Nudge(ctx, &pb.NudgeRequest{AppIds: []string{appID}}); err != nil {
				n.log.Debug("server not nudged", "server", c.Target(), "err", err)
			}
		})
	}
	wg.Wait()
}

func (n *nudger) close() {
	for _, c := range n.conns {
		c.Close()
	}
}
