// Package report is the monitor's end of its one connection to the leader:
// targets come in, verdicts go out. Losing the connection changes nothing about
// the probing; when it is back, every verdict is told again.
package report

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/dinp/dinp/hm/monitor"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
)

// client is what outlasts a session.
type client struct {
	id      string // of the monitor
	monitor *monitor.Monitor
	outbox  *follow.Outbox
}

// maxTargets is the size of the largest full set: some 100,000 targets.
const maxTargets = 32 << 20

// New returns a client that reports, as the monitor id, of which instances outbox
// has a new verdict; Run makes it connect.
func New(cfg follow.Config, id string, m *monitor.Monitor, outbox *follow.Outbox, log *slog.Logger) *follow.Client {
	c := client{id: id, monitor: m, outbox: outbox}
	cfg.Dial = append(cfg.Dial, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxTargets)))
	return follow.New(cfg, func(ctx context.Context, link *follow.Link) error {
		stream, err := pb.NewHealthClient(link.Conn).Watch(ctx)
		if err != nil {
			return err
		}
		s := &session{client: c, link: link, stream: stream, all: make(chan struct{}, 1)}
		return s.run(ctx)
	}, log)
}
