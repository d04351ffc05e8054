package model

import (
	"errors"
	"fmt"
	"strings"
)

// Kind classes a user-visible error; the edges map it to an HTTP status or an
// exit code.
type Kind string

// The kinds of error a caller can be told about.
const (
	Invalid     Kind = "invalid"     // the request itself is wrong
	NotFound    Kind = "not_found"   // the named thing does not exist
	Conflict    Kind = "conflict"    // it exists already, or has another state
	Stale       Kind = "stale"       // edited meanwhile: generation mismatch
	Denied      Kind = "denied"      // authenticated, but not allowed
	Unauthentic Kind = "unauthentic" // no or wrong credentials
	TooLarge    Kind = "too_large"   // an upload or body past its limit
	Unavailable Kind = "unavailable" // a part we need is away; try again
	Failed      Kind = "failed"      // the work ran and failed (a build, a rollout)
	Internal    Kind = "internal"    // our fault; details only in the log
)

// Code is the stable name of one refusal, D1xx…; docs/errors.md has a page
// for each. The table is in codes.go.
type Code string

// Error is the one form in which dinp refuses something, everywhere: JSON,
// command line and pages (OUTSIDE.md "Errors").
type Error struct {
	Kind     Kind     `json:"kind"`
	Code     Code     `json:"code"`
	Message  string   `json:"message"`            // what happened, with numbers
	Evidence []string `json:"evidence,omitempty"` // log, probe or placement lines
	Still    string   `json:"still,omitempty"`    // what still works
	Next     string   `json:"next,omitempty"`     // a command that really helps
	Err      error    `json:"-"`                  // cause, for the log only
}

// Error returns the message, with the cause when there is one.
func (e *Error) Error() string {
	if e.Err != nil && !strings.Contains(e.Message, e.Err.Error()) {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// E makes an Error with the kind that belongs to the code.
func E(code Code, format string, args ...any) *Error {
	return &Error{Kind: kindOf(code), Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithNext returns a copy that names the next step.
func (e *Error) WithNext(format string, args ...any) *Error {
	c := *e
	c.Next = fmt.Sprintf(format, args...)
	return &c
}

// WithStill returns a copy that says what still works.
func (e *Error) WithStill(format string, args ...any) *Error {
	c := *e
	c.Still = fmt.Sprintf(format, args...)
	return &c
}

// WithEvidence returns a copy with the lines appended to its evidence.
func (e *Error) WithEvidence(lines ...string) *Error {
	c := *e
	c.Evidence = append(append([]string(nil), e.Evidence...), lines...)
	return &c
}

// WithCause returns a copy whose cause is err.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// AsError returns err as an *Error. Anything that is not one becomes an
// internal error whose text says nothing of its cause: the cause stays in Err
// for the log.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	out := E(CodeInternal, "internal error")
	out.Err = err
	return out
}

// IsKind reports whether err is an *Error of that kind.
func IsKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// IsCode reports whether err is an *Error of that code.
func IsCode(err error, c Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == c
}
