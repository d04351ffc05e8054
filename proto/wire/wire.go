// Package wire converts between the gRPC messages and the dictionary's values,
// and holds the rules both ends of a stream must agree on: the digest of a
// heartbeat and the credential of the cluster. Conversions happen nowhere else.
package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
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
		Container: s.GetContainer(), Addr: s.GetAddr(), CreatedAt: Time(s.GetCreatedMs()), StartedAt: Time(s.GetStartedMs()), Singleton: s.GetSingleton(),
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
		Container: o.Container, Addr: o.Addr, CreatedMs: Millis(o.CreatedAt), StartedMs: Millis(o.StartedAt), Singleton: o.Singleton,
	}
}

// ToVerdict reads the health monitor's word.
func ToVerdict(v *pb.HealthVerdict) model.Verdict {
	answers := time.Duration(min(max(v.GetAnswersMs(), 0), maxAnswers)) * time.Millisecond
	return model.Verdict{InstanceID: v.GetInstanceId(), Healthy: v.GetHealthy(), Since: Time(v.GetSinceMs()), Evidence: v.GetEvidence(), Answers: answers}
}

// maxAnswers is the longest time, in milliseconds, that fits a time.Duration.
const maxAnswers = math.MaxInt64 / int64(time.Millisecond)

// FromVerdict is the inverse of ToVerdict, but for what is shorter than a millisecond.
func FromVerdict(v model.Verdict) *pb.HealthVerdict {
	var answers int64
	if v.Answers > 0 {
		answers = max(1, v.Answers.Milliseconds())
	}
	return &pb.HealthVerdict{
		InstanceId: v.InstanceID, Healthy: v.Healthy, SinceMs: Millis(v.Since),
		Evidence: strings.ToValidUTF8(v.Evidence, "\uFFFD"), AnswersMs: answers,
	}
}

// Digest is the 16 bytes that a heartbeat carries: the Sum of all instances.
// Both ends keep one; a difference asks for a full sync.
func Digest(instances []model.Observed) []byte {
	var s Sum
	for _, o := range instances {
		s.Add(o)
	}
	return s.Bytes()
}

// Sum is a digest of a set of instances that costs one hash per change, however
// many there are: two sums modulo 2^64 of the halves of each member's hash over
// id, phase and address. It guards against mistakes, not against forgery. The
// zero Sum is that of the empty set.
type Sum [2]uint64

// Add enters an instance that is not in the set.
func (s *Sum) Add(o model.Observed) {
	a, b := halves(o)
	s[0], s[1] = s[0]+a, s[1]+b
}

// Remove takes an instance out, as it was when added.
func (s *Sum) Remove(o model.Observed) {
	a, b := halves(o)
	s[0], s[1] = s[0]-a, s[1]-b
}

// Bytes is the sum as a heartbeat carries it.
func (s Sum) Bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), s[0]), s[1])
}

// Is reports whether b, from a heartbeat, is the sum.
func (s Sum) Is(b []byte) bool {
	return len(b) == 16 && binary.BigEndian.Uint64(b) == s[0] && binary.BigEndian.Uint64(b[8:]) == s[1]
}

func halves(o model.Observed) (a, b uint64) {
	text := append(make([]byte, 0, 96), o.ID...)
	text = append(text, 0, byte(o.Phase), 0)
	h := sha256.Sum256(append(text, o.Addr...))
	return binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])
}
