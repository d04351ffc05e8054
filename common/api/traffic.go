package api

import "time"

// Traffic is what the routers counted of an app, of late. An app that has had no
// requests has zeros.
type Traffic struct {
	App         string  `json:"app"`          // empty: requests for no app, such as unknown hosts
	OverSeconds float64 `json:"over_seconds"` // the time that what follows covers: the last minute, or less
	Rates
	Releases []ReleaseTraffic `json:"releases"`          // with requests in that time, the newest first
	Minutes  []MinuteTraffic  `json:"minutes,omitempty"` // of the last hour, oldest first; those without requests are left out
}

// Rates are counts over some time, and what follows from them. Latencies are of
// all routers together, from a request's head to the end of its response; they
// are at most 6.25 % off.
type Rates struct {
	Requests  uint64  `json:"requests"`
	Failed    uint64  `json:"failed"`     // of those, answered 5xx, by the router or the app
	PerSecond float64 `json:"per_second"` // requests
	AtOnce    float64 `json:"at_once"`    // requests being served at a time, on average
	P50       float64 `json:"p50_ms"`
	P95       float64 `json:"p95_ms"`
	P99       float64 `json:"p99_ms"`
}

// ReleaseTraffic is that of one release.
type ReleaseTraffic struct {
	Release int `json:"release"` // 0: answered before an instance was chosen
	Rates
}

// MinuteTraffic is that of one minute, of all releases.
type MinuteTraffic struct {
	At       time.Time `json:"at"` // when it began
	Requests uint64    `json:"requests"`
	Failed   uint64    `json:"failed"`
	P50      float64   `json:"p50_ms"`
	P95      float64   `json:"p95_ms"`
	P99      float64   `json:"p99_ms"`
}
