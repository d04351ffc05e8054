// Package api is the wire form of the REST API under /api/v1: what dash answers
// and the command line reads. Fields are only ever added. Times are RFC 3339,
// sizes say their unit in the name.
package api

import "github.com/dinp/dinp/common/model"

// ErrorBody is the body of every answer that is not a success.
type ErrorBody struct {
	Error *model.Error `json:"error"`
}

// Page is one page of a list; Next is the value for ?after= (or ?before= where
// the newest come first), "" on the last.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Version answers GET /version, without a login.
type Version struct {
	Version string `json:"version"`
	Domain  string `json:"domain"` // apps answer on <app>.<domain>
	URL     string `json:"url"`    // with %s for the app: http://%s.apps.localhost:8080/
}
