package wire

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// Refuse is the status by which a server refuses a call: e goes with it whole, but
// for its cause, and Refused reads it.
func Refuse(e *model.Error) error {
	code := codes.FailedPrecondition
	switch e.Kind {
	case model.NotFound:
		code = codes.NotFound
	case model.Unavailable:
		code = codes.Unavailable
	case model.Invalid:
		code = codes.InvalidArgument
	}
	s := status.New(code, e.Message)
	if with, err := s.WithDetails(&pb.Refusal{Code: string(e.Code), Message: e.Message, Evidence: e.Evidence, Next: e.Next}); err == nil {
		s = with
	}
	return s.Err()
}

// Refused is what Refuse was given; nil when err is something else.
func Refused(err error) *model.Error {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*pb.Refusal); ok {
			e := model.E(model.Code(r.GetCode()), "%s", r.GetMessage()).WithEvidence(r.GetEvidence()...)
			if r.GetNext() != "" {
				e = e.WithNext("%s", r.GetNext())
			}
			return e
		}
	}
	return nil
}
