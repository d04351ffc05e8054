package dash

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// checksumAlgorithms are those of tus's extension that are known here; sha1 is the one that every client has.
const checksumAlgorithms = "sha1,sha256"

// statusChecksum is tus's answer to bytes that were damaged on their way.
const statusChecksum = 460

// checksum is what the bytes of one request must add up to; nil: whatever they do.
type checksum struct {
	hash.Hash
	want []byte
}

// readChecksum reads the header Upload-Checksum: an algorithm, a space, and the sum in base64.
func readChecksum(header string) (*checksum, error) {
	if header == "" {
		return nil, nil
	}
	name, text, _ := strings.Cut(header, " ")
	sum := &checksum{}
	switch name {
	case "sha1": // against damage, not against people: the artifact's own address is a SHA-256
		sum.Hash = sha1.New()
	case "sha256":
		sum.Hash = sha256.New()
	default:
		return nil, model.E(model.CodeBadRequest, "the checksum algorithm %q is not known", clip(name, 20)).WithNext("use one of %s", checksumAlgorithms)
	}
	var err error
	if sum.want, err = base64.StdEncoding.DecodeString(text); err != nil || len(sum.want) != sum.Size() {
		return nil, model.E(model.CodeBadRequest, "Upload-Checksum cannot be read: after %s comes its sum in base64", name)
	}
	return sum, nil
}

// right reports whether the bytes that were written to the sum are those that were meant.
func (c *checksum) right() bool { return c == nil || bytes.Equal(c.Sum(nil), c.want) }
