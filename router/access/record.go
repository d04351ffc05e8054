// Package access is the router's access log: one line per request that has
// ended, in JSON or in the combined format. Requests do not wait for the disk:
// lines gather in memory, bounded, and a goroutine writes them; what does not
// fit is dropped and counted.
package access

import (
	"time"

	"github.com/dinp/dinp/common/model"
)

// Record is what is known of a request when it has ended. Whoever takes one
// copies what it keeps: the strings may lie in a buffer that is used again.
type Record struct {
	Host      string // canonical; empty when the request's was no host
	App       string
	Release   int
	Instance  string // that answered, or was tried last
	Client    string
	Method    string
	Path      string // without the query, which may hold secrets
	Proto     string
	Status    int        // 499: the client left before an answer
	Code      model.Code // of the router's own answer
	Why       string     // what went wrong
	Attempts  int        // endpoints tried
	Bytes     int64      // of the response body
	Ended     time.Time  // by the wall clock
	Duration  time.Duration
	RequestID string
	Referer   string // for the combined format
	UserAgent string
}
