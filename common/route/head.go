package route

import (
	"fmt"
	"strconv"
	"strings"
)

// Head says what the table in Redis is: the version of its last write and, as long
// as the leader of that epoch has not said all of the table, the version on which
// the term began. What the leader has not said yet is as of Base, which need not
// be all that was ever written: Redis may have failed over to a replica that
// lacked the last writes while nobody led.
//
// When leaders change before one has said all, the term begins on the beginning of
// another: Found is what it began on, and Base what that one had begun on, which
// holds for the routes that neither has said.
//
// A table that is written in parts where Redis had none, or had lost some of it, is
// based on Nothing until its last part: what it lacks meanwhile is in no version.
//
// In Redis it is a hash of epoch, seq, and while Base is not zero the fields
// partial, which repeats the epoch, base, "epoch.seq", and found likewise if it is
// not zero. Servers from before these existed leave them as they find them, so
// partial and base count for the epoch they name only; a found that was left is
// of a term that the table goes on from all the same.
type Head struct {
	Version
	Base  Version
	Found Version // zero: it began on a whole table, Base
}

// Nothing is the Base of a table of which only what was written since can be relied
// on; it is older than any version.
var Nothing = Version{Epoch: -1}

// Forgets reports whether the table at h may lack what was written up to v: it is
// the beginning of a term that went on from an older version. A reader that has v
// keeps it until the leader has said all of the table. Tables of v's own epoch go
// on from each other, and so who has the beginning on which this one began, as far
// as it had got, has nothing that it lacks. One on Nothing is for those who have none.
func (h Head) Forgets(v Version) bool {
	if h.Base == Nothing {
		return v != Version{}
	}
	if v.Epoch == h.Found.Epoch && !h.Found.Less(v) {
		return false
	}
	return h.Base != Version{} && h.Base.Less(v) && v.Epoch < h.Epoch
}

// Lacks reports whether there was more than the table at h has, since v was written.
func (h Head) Lacks(v Version) bool { return h.Less(v) || h.Forgets(v) }

// ParseHead reads the fields of the hash. Without any it is zero: there is no table.
func ParseHead(fields map[string]string) (h Head, err error) {
	if fields["epoch"] == "" && fields["seq"] == "" {
		return Head{}, nil
	}
	if h.Version, err = parseVersion(fields["epoch"] + "." + fields["seq"]); err != nil {
		return Head{}, err
	}
	if fields["partial"] != fields["epoch"] {
		return h, nil
	}
	if h.Base, err = parseVersion(fields["base"]); err != nil {
		return Head{}, err
	}
	if fields["found"] != "" {
		if h.Found, err = parseVersion(fields["found"]); err != nil {
			return Head{}, err
		}
	}
	return h, nil
}

// parseVersion reads what Version.String returned.
func parseVersion(s string) (v Version, err error) {
	epoch, seq, _ := strings.Cut(s, ".")
	if v.Epoch, err = strconv.ParseInt(epoch, 10, 64); err == nil {
		v.Seq, err = strconv.ParseInt(seq, 10, 64)
	}
	if err != nil {
		return Version{}, fmt.Errorf("route version %q unreadable: %w", s, err)
	}
	return v, nil
}
