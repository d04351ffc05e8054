// Package parts cuts files into parts where their content says so: two files that have a stretch in common, wherever it
// stands in each, have most of its parts in common. So a registry that keeps an artifact's parts as blobs stores, sends
// and receives only what is new in it.
//
// The builder and dash call it, and must cut alike: a part that is cut in another way is only stored twice, but for that
// it is here once. It reads nothing by itself.
package parts

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// The sizes of parts, in bytes. On average one has about Min + 1<<bitsOfCut. The least keeps the registry from having a
// thousand tiny blobs, the most bounds what one change costs in a stretch that gives no place to cut at.
const (
	Min = 512 << 10
	Max = 4 << 20

	bitsOfCut = 20
	cutBelow  = 1 << (64 - bitsOfCut)
)

// Part is a stretch of a file.
type Part struct {
	SHA256 string // hex
	Offset int64  // in the file
	Size   int64
}

// Cutter finds the parts of what is written to it, and the SHA-256 of the whole. It is not for several goroutines.
//
// The places to cut at are found by a gear hash, as in W. Xia and others, "FastCDC" (USENIX ATC 2016): a sum of table
// entries for the last 64 bytes, each shifted by one more. A part ends where the sum's upper bits are all zero.
//
// A gzip stream stays whole: a small change changes everything behind it.
type Cutter struct {
	whole, part hash.Hash // whole may be nil
	head        []byte    // the first two bytes
	sum         uint64
	at, size    int64 // where the part under way begins, and its bytes so far
	done        []Part
}

// NewCutter returns a cutter for one file.
func NewCutter() *Cutter { return &Cutter{whole: sha256.New(), part: sha256.New()} }

// NewPartCutter returns a cutter that does not sum up the whole, for those who do that beside it.
func NewPartCutter() *Cutter { return &Cutter{part: sha256.New()} }

// Write implements io.Writer; it never fails.
func (c *Cutter) Write(p []byte) (int, error) {
	c.head = append(c.head, p[:min(len(p), len(gzipMagic)-len(c.head))]...)
	if c.gzip() {
		c.part.Write(p)
		c.size += int64(len(p))
		return len(p), nil
	}
	if c.whole != nil {
		c.whole.Write(p)
	}
	for rest := p; len(rest) > 0; {
		n, cut := c.next(rest)
		c.part.Write(rest[:n])
		c.size += int64(n)
		if cut {
			c.end()
		}
		rest = rest[n:]
	}
	return len(p), nil
}

const gzipMagic = "\x1f\x8b"

func (c *Cutter) gzip() bool { return string(c.head) == gzipMagic }

// next tells how many bytes of p, which is not empty, belong to the part under way, and whether it ends with them.
func (c *Cutter) next(p []byte) (n int, cut bool) {
	from := int(min(max(Min-c.size, 0), int64(len(p)))) // no part ends before that, so nothing is looked at
	end := int(min(Max-c.size, int64(len(p))))
	sum, table := c.sum, &gear
	for i, b := range p[from:end] {
		sum = sum<<1 + table[b]
		if sum < cutBelow {
			c.sum = sum
			return from + i + 1, true
		}
	}
	c.sum = sum
	return end, c.size+int64(end) == Max
}

// end notes the part under way and begins the next.
func (c *Cutter) end() {
	c.done = append(c.done, Part{SHA256: hex.EncodeToString(c.part.Sum(nil)), Offset: c.at, Size: c.size})
	c.at += c.size
	c.size, c.sum = 0, 0
	c.part.Reset()
}

// Finish returns the parts of all that was written, in their order, and its SHA-256 in hex; "" when nobody summed it up.
// Nothing may be written after it.
func (c *Cutter) Finish() (parts []Part, sha256hex string) {
	if c.size > 0 || len(c.done) == 0 {
		c.end()
	}
	switch {
	case len(c.done) == 1:
		sha256hex = c.done[0].SHA256
	case c.whole != nil:
		sha256hex = hex.EncodeToString(c.whole.Sum(nil))
	}
	return c.done, sha256hex
}

// gear gives each byte its own 64 bits, the same everywhere: the numbers are those of splitmix64 from 0 on.
var gear = func() (t [256]uint64) {
	state := uint64(0)
	for i := range t {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		t[i] = z ^ z>>31
	}
	return t
}()
