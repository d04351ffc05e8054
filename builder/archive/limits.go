package archive

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/dustin/go-humanize"

	"github.com/dinp/dinp/common/model"
)

// Limits is how far an archive may go. Sizes are bytes as unpacked, whatever the archive's headers claim.
type Limits struct {
	TotalBytes int64 `yaml:"total_bytes" help:"bytes that an artifact may have when it is unpacked"`
	FileBytes  int64 `yaml:"file_bytes" help:"bytes that one of its files may have"`
	Entries    int   `yaml:"entries" help:"files, folders and links that it may have, those implied by a path included"`
	PathBytes  int   `yaml:"path_bytes" help:"bytes that one of its paths may have"`
	NameBytes  int64 `yaml:"name_bytes" help:"bytes that all of its paths may have together; bounds the builder's memory"`
	Ratio      int64 `yaml:"ratio" help:"times that it may grow by unpacking, looked at past ratio_floor"`
	RatioFloor int64 `yaml:"ratio_floor" help:"bytes that it may grow to at any ratio"`
}

// DefaultLimits fits the biggest web applications known to the authors with room to spare, and no bomb.
func DefaultLimits() Limits {
	return Limits{
		TotalBytes: 4 << 30,
		FileBytes:  2 << 30,
		Entries:    200_000,
		PathBytes:  1024,
		NameBytes:  32 << 20,
		Ratio:      100,
		RatioFloor: 100 << 20,
	}
}

// Problems lists what is wrong with the limits.
func (l Limits) Problems() []string {
	var out []string
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"total_bytes", l.TotalBytes}, {"file_bytes", l.FileBytes}, {"entries", int64(l.Entries)},
		{"path_bytes", int64(l.PathBytes)}, {"name_bytes", l.NameBytes}, {"ratio", l.Ratio}, {"ratio_floor", l.RatioFloor},
	} {
		if f.value < 1 {
			out = append(out, fmt.Sprintf("limits.%s is %d; it must be at least 1", f.name, f.value))
		}
	}
	return out
}

func broken(format string, args ...any) *model.Error {
	return model.E(model.CodeBadArtifact, format, args...).WithNext("pack it again and upload it")
}

func hostile(format string, args ...any) *model.Error {
	return model.E(model.CodeHostile, format, args...).
		WithNext("list the archive (tar -tvf FILE, unzip -l FILE), pack it again without that entry, and upload it")
}

func tooLarge(setting string, format string, args ...any) *model.Error {
	return model.E(model.CodeTooLarge, format, args...).
		WithNext("make the artifact smaller, or let an operator raise limits.%s of the builder", setting)
}

func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	return humanize.IBytes(uint64(n))
}

// grow counts n more unpacked bytes of the named file, of which it has now seen fileBytes.
func (t *tree) grow(name string, n, fileBytes int64) error {
	all := t.bytes.Add(n)
	switch l := t.limits; {
	case fileBytes > l.FileBytes:
		return tooLarge("file_bytes", "the file %s is larger than %s (%d bytes), the limit for one file", quote(name), size(l.FileBytes), l.FileBytes)
	case all > l.TotalBytes:
		return tooLarge("total_bytes", "the archive unpacks to more than %s (%d bytes); it stopped at %s",
			size(l.TotalBytes), l.TotalBytes, quote(name))
	}
	if t.isBomb(all) {
		return t.bomb(all, quote(name))
	}
	return nil
}

// isBomb tells much more out than honest compression gives.
func (t *tree) isBomb(out int64) bool {
	return out > t.limits.RatioFloor && out/t.limits.Ratio > t.packed
}

func (t *tree) bomb(out int64, at string) error {
	return tooLarge("ratio", "the archive of %s has unpacked to %s already, more than %d times its size, at %s", size(t.packed), size(out), t.limits.Ratio, at)
}

// checkEntries counts folders that only a path implies too: otherwise a few long paths make millions of them.
func (t *tree) checkEntries() error {
	if n := max(t.entries, len(t.files)+len(t.dirs)+len(t.links)); n > t.limits.Entries {
		return tooLarge("entries", "the archive has more than %d entries (files, folders and links)", t.limits.Entries)
	}
	return nil
}

// explain turns what the system says while writing into something a user or an operator can act on.
func (t *tree) explain(err error) error {
	if err != nil && t.ctx.Err() != nil {
		return t.ctx.Err()
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return model.E(model.CodeUnavailable, "the builder's disk is full after %s in %d files", size(t.bytes.Load()), t.count()).
			WithNext("free space in the builder's work_dir, or set it to another disk").WithCause(err)
	}
	return err
}
