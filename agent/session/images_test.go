package session

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/agent/images"
	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
)

// full is an engine whose images take the whole disk.
type full struct{ removed []string }

func (f *full) Info(context.Context) (runtime.Info, error) { return runtime.Info{Root: "/"}, nil }
func (f *full) RemoveImage(_ context.Context, image string) error {
	f.removed = append(f.removed, image)
	return nil
}

func TestTalk_AsksAboutImagesBehindABeat_Once_AndTakesTheAnswer(t *testing.T) {
	j, engine, log := journal.Memory("n1"), &full{}, slog.New(slog.DiscardHandler)
	keeper := images.New(images.Config{Data: "/", CollectAbove: 1, Keep: 3}, engine, j, func() map[string]bool { return nil }, log)
	now := time.Now()
	keeper.Note("a@1", now.Add(-2*time.Hour))
	keeper.Note("a@2", now.Add(-time.Hour))
	set := instance.New(instance.Config{}, instance.NewDriver(fake.NewEngine().Node("n1", "10.0.0.1")), j, func(string) {}, log)
	talk := NewTalk(Node{Set: set, Journal: j, Outbox: follow.NewOutbox(), Images: keeper, Docker: func() Docker { return Docker{OK: true} }})
	if out := talk.Beat(); len(out) != 1 {
		t.Fatalf("asked without need: %v", out)
	}
	keeper.Look(t.Context(), now)
	out := talk.Beat()
	if len(out) != 2 || out[0].GetHeartbeat() == nil || !slices.Equal(out[1].GetUnused().GetImages(), []string{"a@1", "a@2"}) || out[1].GetUnused().GetKeep() != 3 {
		t.Fatalf("beat: %v", out)
	}
	if out := talk.Beat(); len(out) != 1 {
		t.Errorf("asked again: %v", out)
	}
	talk.Obey(&pb.ServerMessage{Body: &pb.ServerMessage_Needed{Needed: &pb.Needed{Keep: []string{"a@1"}, Free: []string{"a@2"}}}}, now)
	keeper.Look(t.Context(), now)
	if !slices.Equal(engine.removed, []string{"a@2"}) {
		t.Errorf("removed %v", engine.removed)
	}
}
