//go:build linux

package fast

import (
	"github.com/dinp/dinp/router/balance"
)

// failure is how an attempt failed before a response's head.
type failure uint8

const (
	failDial     failure = iota // nothing was sent
	failDied                    // the connection ended before an answer
	failTimeout                 // no response head in time
	failProtocol                // an answer that is not HTTP
)

// failures are the same to package balance and to the access log.
var failures = [...]struct {
	kind balance.Failure
	why  string
}{
	failDial: {balance.Dial, "dial"}, failDied: {balance.Died, "died"},
	failTimeout: {balance.Timeout, "timeout"}, failProtocol: {balance.Protocol, "protocol"},
}

// failed ends an attempt, and tries another where that is safe. Nothing of a
// final answer has been sent to the client.
func (x *exchange) failed(f failure) step {
	l, p := x.l, x.peer
	stale := p != nil && p.reused && f == failDied && !x.answered && x.idempotent
	if p != nil {
		l.closePeer(p)
		x.peer = nil
	}
	l.spare.give(x.part)
	x.part = nil
	if stale && !x.fresh {
		x.fresh = true // a kept connection that the app had closed says nothing of the app
		return x.attempt()
	}
	x.at.Failed(failures[f].kind, l.now)
	if x.again(f) {
		return x.attempt()
	}
	return x.apologise(failures[f].why)
}

// again claims another endpoint, if the request may be sent again: always when
// nothing was sent; when the connection died, only what is idempotent and has
// no body. A time-out is never retried: the app is working on it.
func (x *exchange) again(f failure) bool {
	may := f == failDial || f == failDied && x.idempotent
	if !may || x.attempts == maxAttempts || !x.at.Lane().Spend() {
		return false
	}
	x.tried[x.attempts-1] = x.at.Endpoint
	next := x.l.e.cfg.Set.Claim(x.appHost, balance.Ask{}, x.tried[:x.attempts], x.l.now)
	if next.Endpoint == nil {
		return false
	}
	x.at.Endpoint.Done()
	x.at = next
	x.attempts++
	x.fresh = false
	return true
}

// apologise answers in the app's stead. With the request unfinished the
// connection ends: what follows on it is the rest of a body.
func (x *exchange) apologise(why string) step {
	l := x.l
	x.closes = x.closes || !x.read || l.e.closing.Load()
	rec := &l.rec
	x.record(rec)
	b := l.e.cfg.Answer(x.head[:x.headSize], rec, why, x.closes)
	x.status, x.code, x.why = rec.Status, rec.Code, rec.Why
	if rec.Status >= 500 {
		l.errors.Add(1)
	}
	x.phase = complete
	l.out = append(l.out[:0], b...)
	x.bytes = rec.Bytes
	return x.toClient(nil, "")
}
