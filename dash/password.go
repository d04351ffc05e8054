package dash

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a password hash: argon2id as OWASP advises, about 70 ms.
const (
	argonMemoryKiB = 19 << 10
	argonTime      = 2
	argonThreads   = 1
	argonSalt      = 16
	argonKey       = 32
)

// passwords hashes and checks passwords, no more at once than there are
// processors: each costs 19 MiB, and logins come from strangers.
type passwords struct{ slots chan struct{} }

func newPasswords() passwords { return passwords{slots: make(chan struct{}, runtime.NumCPU())} }

// run does f in a slot, unless ctx ends while waiting for one.
func (p passwords) run(ctx context.Context, f func()) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	f()
	return nil
}

// hash returns the PHC string of a password.
func (p passwords) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	var key []byte
	err := p.run(ctx, func() {
		key = argon2.IDKey([]byte(password), salt, argonTime, argonMemoryKiB, argonThreads, argonKey)
	})
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemoryKiB, argonTime, argonThreads, b64(salt), b64(key)), err
}

// verify reports whether password belongs to the PHC string, and whether that
// was made at another cost than today's. A string that is not one, as of a user
// that does not exist, takes as long and never fits.
func (p passwords) verify(ctx context.Context, phc, password string) (ok, stale bool, err error) {
	h, valid := parsePHC(phc)
	if !valid {
		h = phcHash{memory: argonMemoryKiB, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt), key: make([]byte, argonKey)}
	}
	if len(password) > maxPassword {
		password = password[:maxPassword]
		valid = false
	}
	err = p.run(ctx, func() {
		key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
		ok = subtle.ConstantTimeCompare(key, h.key) == 1 && valid
	})
	return ok, h.memory != argonMemoryKiB || h.time != argonTime || h.threads != argonThreads, err
}

type phcHash struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func parsePHC(s string) (h phcHash, ok bool) {
	parts := strings.Split(s, "$") // "", argon2id, v=19, m=…,t=…,p=…, salt, key
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil || h.memory == 0 || h.time == 0 || h.threads == 0 || h.memory > 1<<20 || h.time > 100 {
		return h, false
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	return h, err1 == nil && err2 == nil && len(h.salt) >= 8 && len(h.key) >= 16
}
