package actual

import (
	"slices"
	"strings"
)

// choir is a set of monitors, by name, that say the same. It never changes: all
// instances of which the same monitors say so share it, because nearly always
// those are all monitors, and there may be a million instances.
type choir struct{ monitors []string }

// choirs are all sets that there are, by their members' names.
type choirs map[string]*choir

// with returns the set with one more monitor.
func (c choirs) with(s *choir, monitor string) *choir {
	if s == nil {
		return c.of([]string{monitor})
	}
	at, has := slices.BinarySearch(s.monitors, monitor)
	if has {
		return s
	}
	return c.of(slices.Insert(slices.Clone(s.monitors), at, monitor))
}

// without returns the set without a monitor; nil for that of none.
func (c choirs) without(s *choir, monitor string) *choir {
	if s == nil {
		return nil
	}
	at, has := slices.BinarySearch(s.monitors, monitor)
	switch {
	case !has:
		return s
	case len(s.monitors) == 1:
		return nil
	}
	return c.of(slices.Delete(slices.Clone(s.monitors), at, at+1))
}

func (c choirs) of(monitors []string) *choir {
	key := strings.Join(monitors, "\x00")
	s := c[key]
	if s == nil {
		s = &choir{monitors}
		c[key] = s
	}
	return s
}

// drop forgets the sets that a monitor is in; nothing may refer to them.
func (c choirs) drop(monitor string) {
	for key, s := range c {
		if slices.Contains(s.monitors, monitor) {
			delete(c, key)
		}
	}
}
