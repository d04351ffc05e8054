package router

import (
	"io"
	"net/http"
	"strings"
)

// challengePath is where certificate authorities ask for HTTP-01 (RFC 8555 §8.3).
const challengePath = "/.well-known/acme-challenge/"

// challenges answers the certificate authorities in front of all else: of
// redirects to HTTPS and maintenance, too. A token that is not ours is the
// app's, which may have a certificate of its own made.
func (r *Router) challenges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		token, ok := strings.CutPrefix(req.URL.Path, challengePath)
		if !ok || req.Method != http.MethodGet && req.Method != http.MethodHead {
			next.ServeHTTP(w, req)
			return
		}
		answer := r.follow.Challenge(req.Context(), token)
		if answer == "" {
			next.ServeHTTP(w, req)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, answer) // who left will ask again
	})
}
