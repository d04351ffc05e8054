// Package wire converts between the gRPC messages and the dictionary's values,
// and holds the rules both ends of a stream must agree on: the digest of a
// heartbeat and the credential of the cluster. Conversions happen nowhere else.
package wire

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// Millis returns t as unix milliseconds; the zero time is 0.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time is the inverse of Millis.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// ToObserved reads an agent's word on one instance. A phase that is not known
// becomes assigned: the weakest claim.
func ToObserved(s *pb.InstanceStatus) model.Observed {
	phase := model.Phase(s.GetPhase())
	if phase < model.PhaseAssigned || phase > model.PhaseGone {
		phase = model.PhaseAssigned
	}
	return model.Observed{
		ID: s.GetId(), Phase: phase, Gone: model.Gone(s.GetGone()), ExitCode: int(s.GetExitCode()),
		Code: model.Code(s.GetCode()), Message: s.GetMessage(), Logs: s.GetLogs(),
		Container: s.GetContainer(), Addr: s.GetAddr(), StartedAt: Time(s.GetStartedMs()),
	}
}

// FromObserved is the inverse of ToObserved. Text that is not UTF-8 is mended,
// because protobuf refuses to send it.
func FromObserved(o model.Observed) *pb.InstanceStatus {
	logs := make([]string, len(o.Logs))
	for i, l := range o.Logs {
		logs[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return &pb.InstanceStatus{
		Id: o.ID, Phase: int32(o.Phase), Gone: string(o.Gone), ExitCode: int32(o.ExitCode),
		Code: string(o.Code), Message: strings.ToValidUTF8(o.Message, "\uFFFD"), Logs: logs,
		Container: o.Container, Addr: o.Addr, StartedMs: Millis(o.StartedAt),
	}
}

// ToVerdict reads the health monitor's word.
func ToVerdict(v *pb.HealthVerdict) model.Verdict {
	return model.Verdict{InstanceID: v.GetInstanceId(), Healthy: v.GetHealthy(), Since: Time(v.GetSinceMs()), Evidence: v.GetEvidence()}
}

// FromVerdict is the inverse of ToVerdict.
func FromVerdict(v model.Verdict) *pb.HealthVerdict {
	return &pb.HealthVerdict{
		InstanceId: v.InstanceID, Healthy: v.Healthy, SinceMs: Millis(v.Since),
		Evidence: strings.ToValidUTF8(v.Evidence, "\uFFFD"),
	}
}

// Digest is the 16 bytes that a heartbeat carries: a hash over the id, phase
// and address of every instance, in order of id. Both ends keep one; a
// difference asks for a full sync.
func Digest(instances []model.Observed) []byte {
	sorted := slices.Clone(instances)
	slices.SortFunc(sorted, func(a, b model.Observed) int { return strings.Compare(a.ID, b.ID) })
	h := sha256.New()
	for _, o := range sorted {
		h.Write([]byte(o.ID))
		h.Write([]byte{0, byte(o.Phase), 0})
		h.Write([]byte(o.Addr))
		h.Write([]byte{0})
	}
	return h.Sum(nil)[:16]
}
