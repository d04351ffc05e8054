package main

import (
	"strconv"
	"strings"
)

// encodings are the precompressed forms a site may ship next to a file, best first.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// choose picks the form of a file to send: the file itself or a precompressed twin that the client accepts.
// varies reports whether another client might get another form.
func (s *site) choose(name, accept string) (chosen, encoding string, varies bool) {
	for _, e := range encodings {
		if !s.isFile(name + e.suffix) {
			continue
		}
		if encoding == "" && accepts(accept, e.name) {
			chosen, encoding = name+e.suffix, e.name
		}
		varies = true
	}
	if encoding == "" {
		chosen = name
	}
	return chosen, encoding, varies
}

// accepts reads an Accept-Encoding header. An encoding must be named: a mere "*" is sent by clients that decode nothing.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		token, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(token), encoding) {
			continue
		}
		q, found := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
		if !found {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}
