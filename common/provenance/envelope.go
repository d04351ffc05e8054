package provenance

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Envelope is a DSSE envelope: a payload and who signed it.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64
	Signatures  []Signature `json:"signatures"`
}

// Signature is one signature over the envelope's payload and its type.
type Signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"` // base64
}

// Why an envelope is not believed.
var (
	ErrMalformed = errors.New("the statement cannot be read")
	ErrSignature = errors.New("the signature does not fit the statement")
	ErrKey       = errors.New("no known key has signed the statement")
)

// KeyID names a public key: the SHA-256 of its bytes, hex.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

// Sign puts a statement into an envelope.
func Sign(s Statement, key ed25519.PrivateKey) (Envelope, error) {
	payload, err := json.Marshal(s)
	if err != nil {
		return Envelope{}, err
	}
	sig := ed25519.Sign(key, preAuthEncoding(PayloadType, payload))
	public := key.Public().(ed25519.PublicKey)
	return Envelope{
		PayloadType: PayloadType, Payload: base64.StdEncoding.EncodeToString(payload),
		Signatures: []Signature{{KeyID: KeyID(public), Sig: base64.StdEncoding.EncodeToString(sig)}},
	}, nil
}

// Verify returns the statement of an envelope that one of the keys has signed. The payload is read only after its
// signature was found to be good.
func Verify(e Envelope, keys ...ed25519.PublicKey) (Statement, error) {
	var s Statement
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil || e.PayloadType != PayloadType {
		return s, fmt.Errorf("%w: payload type %q", ErrMalformed, e.PayloadType)
	}
	if err := signedBy(e, payload, keys); err != nil {
		return s, err
	}
	if err := json.Unmarshal(payload, &s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if s.Type != StatementType || s.PredicateType != PredicateType {
		return s, fmt.Errorf("%w: it is a %q with a %q", ErrMalformed, s.Type, s.PredicateType)
	}
	return s, nil
}

// signedBy reports why none of the keys has signed the payload. The key id is a hint only: what counts is the signature.
func signedBy(e Envelope, payload []byte, keys []ed25519.PublicKey) error {
	message, err := preAuthEncoding(e.PayloadType, payload), ErrKey
	for _, signature := range e.Signatures {
		sig, bad := base64.StdEncoding.DecodeString(signature.Sig)
		if bad != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, bad)
		}
		for _, key := range keys {
			if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, sig) {
				return nil
			}
			if KeyID(key) == signature.KeyID {
				err = ErrSignature
			}
		}
	}
	return err
}

// ParseKey reads a public key as dinp writes it: base64 of its 32 bytes.
func ParseKey(text string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: a key is the base64 of %d bytes", ErrMalformed, ed25519.PublicKeySize)
	}
	return b, nil
}

// preAuthEncoding is DSSE's PAE: what is signed. Lengths keep type and payload apart.
func preAuthEncoding(payloadType string, payload []byte) []byte {
	out := []byte("DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " ")
	return append(out, payload...)
}
