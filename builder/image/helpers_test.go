package image

import (
	"math/rand/v2"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

var emptyIndex = empty.Index

func remoteWriteIndex(ref name.Reference, i v1.ImageIndex) error { return remote.WriteIndex(ref, i) }

func remoteHead(ref name.Reference) (*v1.Descriptor, error) { return remote.Head(ref) }

// testID keeps the names of this run apart from those of others in the shared engine.
func testID() uint64 { return rand.Uint64() }
