package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/dinp/dinp/common/model"
)

const tokenMark = "dinp-join"

// Token lets one part in, once, for a short time. It says which authority signs
// for the cluster, so that the newcomer knows whom it talks to before it knows
// anybody.
type Token struct {
	Role   Role
	CA     string // hash of the authority's certificate
	Secret string // known to the newcomer, and as a hash to the database
}

// NewToken makes a token for a part of a role.
func NewToken(role Role, ca string) Token { return Token{Role: role, CA: ca, Secret: rand.Text()} }

// String is the form in which a token is handed on. It is secret.
func (t Token) String() string {
	return strings.Join([]string{tokenMark, string(t.Role), t.CA, t.Secret}, ".")
}

// Hash is what the database keeps of the secret.
func (t Token) Hash() string {
	sum := sha256.Sum256([]byte(t.Secret))
	return hex.EncodeToString(sum[:])
}

// ParseToken reads a token.
func ParseToken(text string) (Token, error) {
	f := strings.Split(strings.TrimSpace(text), ".")
	if len(f) != 4 || f[0] != tokenMark || len(f[2]) != 52 || f[3] == "" || !(Identity{Role: Role(f[1]), Name: "x"}).Valid() {
		return Token{}, model.E(model.CodeBadJoin, "the join token cannot be read: it has %d characters in %d fields, and is %s.ROLE.AUTHORITY.SECRET",
			len(text), len(f), tokenMark).WithNext("copy the whole line that `dinp token create-join` printed")
	}
	return Token{Role: Role(f[1]), CA: f[2], Secret: f[3]}, nil
}

// GoString implements fmt.GoStringer: %#v shows no secret.
func (t Token) GoString() string { return fmt.Sprintf("pki.Token{%s %s [redacted]}", t.Role, t.CA) }
