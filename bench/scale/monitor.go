package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
)

// judge is a health monitor for which all is well.
func (h *herd) judge(ctx context.Context, key *pki.Keeper) {
	for n := 0; ctx.Err() == nil; n++ {
		addr := h.servers[n%len(h.servers)]
		if err := watchAll(ctx, addr, key); err != nil {
			slog.Debug("monitor", "server", addr, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func watchAll(ctx context.Context, addr string, key *pki.Keeper) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(key.Client()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := pb.NewHealthClient(conn).Watch(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.HealthMessage{MonitorId: "hm"}); err != nil {
		return err
	}
	for {
		t, err := stream.Recv()
		if err != nil {
			return err
		}
		if t.GetNotLeader() != nil {
			return errors.New("not the leader")
		}
		if err := sendVerdicts(stream, t.GetSet()); err != nil {
			return err
		}
	}
}

func sendVerdicts(stream pb.Health_WatchClient, targets []*pb.HealthTarget) error {
	for len(targets) > 0 {
		k := min(1000, len(targets))
		m := &pb.HealthMessage{MonitorId: "hm"}
		for _, t := range targets[:k] {
			m.Verdicts = append(m.Verdicts, &pb.HealthVerdict{InstanceId: t.GetInstanceId(), Healthy: true, SinceMs: time.Now().UnixMilli(), Evidence: "GET / → 200 in 3ms"})
		}
		if err := stream.Send(m); err != nil {
			return err
		}
		targets = targets[k:]
	}
	return nil
}
