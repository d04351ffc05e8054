package parts

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
)

// noise is n bytes that are the same for the same seed.
func noise(seed byte, n int) []byte {
	out := make([]byte, n)
	r := rand.NewChaCha8([32]byte{seed})
	_, _ = r.Read(out)
	return out
}

// cut returns the parts of a file that is written in pieces of that size.
func cut(b []byte, piece int) ([]Part, string) {
	c := NewCutter()
	for p := range slices.Chunk(b, piece) {
		c.Write(p)
	}
	return c.Finish()
}

func shaOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestCutter_PartsAreTheFileWhateverThePiecesItComesIn(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"nothing": nil, "a byte": {7}, "the least": noise(1, Min), "noise": noise(2, 5<<20), "zeros": make([]byte, Max+5),
	} {
		want, sha := cut(file, max(len(file), 1))
		if sha != shaOf(file) {
			t.Errorf("%s: sha256 %s, want %s", name, sha, shaOf(file))
		}
		at := int64(0)
		for i, p := range want {
			if p.Offset != at || p.SHA256 != shaOf(file[p.Offset:p.Offset+p.Size]) {
				t.Errorf("%s: part %d is %+v, want one that begins at %d and has the sum of its bytes", name, i, p, at)
			}
			if last := i == len(want)-1; p.Size > Max || p.Size < Min && !last {
				t.Errorf("%s: part %d of %d has %d bytes", name, i, len(want), p.Size)
			}
			at += p.Size
		}
		if at != int64(len(file)) {
			t.Errorf("%s: parts have %d bytes, the file %d", name, at, len(file))
		}
		for _, piece := range []int{4711, Min + 1} {
			if got, _ := cut(file, piece); !slices.Equal(got, want) {
				t.Errorf("%s, in pieces of %d: other parts", name, piece)
			}
		}
	}
}

// A change must cost what is changed and a little around it, also when everything behind it moves.
func TestCutter_AChangeLeavesTheOtherPartsAlone(t *testing.T) {
	t.Parallel()
	before := noise(3, 8<<20)
	for name, after := range map[string][]byte{
		"a byte more in front": slices.Concat([]byte{1}, before),
		"bytes less inside":    slices.Concat(before[:3<<20], before[3<<20+4711:]),
		"a stretch changed":    slices.Concat(before[:3<<20], noise(4, 100_000), before[3<<20+100_000:]),
		"a directory behind":   slices.Concat(before, noise(5, 50_000)),
	} {
		old, _ := cut(before, 64<<10)
		known := map[string]bool{}
		for _, p := range old {
			known[p.SHA256] = true
		}
		moved := int64(0)
		parts, _ := cut(after, 64<<10)
		for _, p := range parts {
			if !known[p.SHA256] {
				moved += p.Size
			}
		}
		if moved == 0 || moved > 4<<20 {
			t.Errorf("%s: %d bytes in new parts of %d", name, moved, len(after))
		}
	}
}

func TestCutter_AGzipStreamIsOnePart(t *testing.T) {
	t.Parallel()
	file := slices.Concat([]byte("\x1f\x8b"), noise(6, 1<<20))
	for _, piece := range []int{1, 64 << 10} {
		got, _ := cut(file, piece)
		if want := []Part{{SHA256: shaOf(file), Size: int64(len(file))}}; !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: got %+v, want %+v", piece, got, want)
		}
	}
}

func BenchmarkCutter(b *testing.B) {
	file := noise(7, 32<<20)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		cut(file, 256<<10)
	}
}

func TestPartCutter_CutsAlikeAndLeavesTheWholeToOthers(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{"nothing": nil, "noise": noise(2, 5<<20), "gzip": append([]byte(gzipMagic), noise(3, 6<<20)...)} {
		want, sha := cut(file, 100_001)
		c := NewPartCutter()
		for p := range slices.Chunk(file, 1) {
			c.Write(p)
			if c.size > 10 {
				break
			}
		}
		c.Write(file[c.size:])
		got, none := c.Finish()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d parts, want %d", name, len(got), len(want))
		}
		if none != "" && none != sha {
			t.Errorf("%s: a SHA-256 of something else: %s", name, none)
		}
	}
}
