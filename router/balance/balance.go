// Package balance chooses the endpoint of each request and keeps what is known
// of endpoints: requests in flight, failures, ejection. Both paths of the router
// stand on one Set, so that they count the same requests and eject the same
// endpoints; it knows nothing of HTTP, sockets or Redis.
//
// # Contract
//
// The router gives tables to Set.Swap. A path serves a request so:
//
//	b := set.Table().Lookup(host, path)      // which app it is for; b.Settings.Plain?
//	at := set.Claim(b.Host, ask, tried, now) // chooses, and counts the request in
//	if at.Endpoint == nil { … }            // no host, maintenance or nobody ready: see Claim
//	c := at.Endpoint.Conns(slot)           // what this path keeps for the endpoint
//	…                                      // one attempt
//	at.Answered(status, now)             // or at.Failed(why, now), or neither: the client left
//	at.Endpoint.Done()                     // exactly once per claim, when the response has ended
//
// For another attempt: at.Failed, then at.Lane().Spend() must allow it, then
// at.Endpoint.Done(), and Claim again with the endpoint among the tried.
//
// When Swap has returned, no claim succeeds any more at an endpoint that the
// new table does not have; claims made before go on until their Done. The
// endpoint's Conns are told to close what lies idle, and whatever falls idle
// later must be closed by its path: see Conns.
//
// Claim, Answered, Failed and Done allocate nothing, take no lock in the
// ordinary case, and are safe for concurrent use. Time is a monotonic duration
// since the Set was made; a clock that lags by some milliseconds will do.
package balance

import "time"

// Ask is what a choice depends on beside the state of the endpoints. The zero
// Ask is that of a request without a key or a session.
type Ask struct {
	Key    uint64 // by which a hash policy chooses; HashKey makes it
	Keyed  bool   // Key is set; without, a hash policy chooses as the default does
	Prefer Token  // of the endpoint that holds the session; zero is none
}

// Token names an endpoint to clients, in sticky cookies. It is the same on
// every router, and tells nothing of address or instance. Zero is no endpoint.
type Token uint64

// Failure is how an attempt at an endpoint failed.
type Failure uint8

// The failures. Dial alone proves that no byte of the request was sent.
const (
	Dial     Failure = iota // no connection: ejects at once
	Died                    // the connection ended before an answer: three in a row eject
	Timeout                 // no response head in time: counts for nothing, the app may be slow by nature
	Protocol                // an answer that is not HTTP: counts for nothing
)

// Limits of ejection: an endpoint gets no requests for a while, doubling each
// time, until one trial request goes well.
const (
	EjectFirst   = time.Second
	EjectLongest = 30 * time.Second
	diedLimit    = 3 // connections in a row that died before an answer
	sickLimit    = 5 // answers of 502, 503 or 504 in a row
)
