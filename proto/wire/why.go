package wire

import (
	"errors"

	"google.golang.org/grpc/metadata"
)

// whyKey names the trailer in which a server says why it has ended a stream whose
// handler waited for the peer: gRPC itself tells the peer only that it was canceled.
const whyKey = "dinp-why-bin"

// Why is the trailer that carries a stream's end's reason.
func Why(err error) metadata.MD { return metadata.Pairs(whyKey, err.Error()) }

// Because is the reason that came in a stream's trailer; err, which ended the
// stream, when none came.
func Because(err error, trailer metadata.MD) error {
	if why := trailer.Get(whyKey); len(why) > 0 {
		return errors.New(why[0])
	}
	return err
}
