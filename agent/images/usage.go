package images

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Usage is how full a file system is.
type Usage struct {
	FreeMiB  int64 // that a program which is not root may fill
	TotalMiB int64
	Percent  int // used of what can be used, rounded up, as df tells
}

// Measure looks at the file system of a folder.
func Measure(folder string) (Usage, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return Usage{}, fmt.Errorf("file system of %s: %w", folder, err)
	}
	return usage(s.Blocks, s.Bfree, s.Bavail, uint64(s.Bsize)), nil
}

func usage(blocks, free, available, size uint64) Usage {
	const mib = 1 << 20
	u := Usage{FreeMiB: int64(available * size / mib), TotalMiB: int64(blocks * size / mib)}
	used := blocks - free
	if can := used + available; can > 0 {
		u.Percent = int((100*used + can - 1) / can)
	}
	return u
}
