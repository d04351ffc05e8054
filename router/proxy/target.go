package proxy

import (
	"net/http"
	"strings"
)

// sound reports whether the request's target has a form that its method may
// have (RFC 9112, 3.2). net/http takes any URI, "GET shop.local:80" for one,
// of which the app would get "GET 80". Names and passwords in a URI are there to
// deceive (RFC 9110, 4.2.4), and HTTP/2 knows no absolute form (RFC 9113, 8.3.1).
func sound(r *http.Request) bool {
	switch {
	case strings.HasPrefix(r.RequestURI, "/"):
		return true
	case r.RequestURI == "*":
		return r.Method == http.MethodOptions
	}
	u := r.URL
	return r.ProtoMajor == 1 && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// targetPath is the path of a sound target as the client wrote it.
func targetPath(r *http.Request) string {
	target := r.RequestURI
	if _, rest, absolute := strings.Cut(target, "://"); absolute && target[0] != '/' {
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		} else {
			target = ""
		}
	}
	path, _, _ := strings.Cut(target, "?")
	if path == "" {
		return "/"
	}
	return path
}

// exactPath sends the path as the client wrote it. net/url would escape some
// bytes that are legal enough to reach us, or unescape others beside them, and
// signatures would break.
func exactPath(out, in *http.Request) {
	path := targetPath(in)
	switch {
	case in.Method == http.MethodOptions && in.URL.Host != "" && in.URL.Path == "" && in.URL.RawQuery == "":
		out.URL.Path = "*" // RFC 9112, 3.2.4: so is the server itself asked, by the last of all proxies
	case path != out.URL.EscapedPath() && !strings.HasPrefix(path, "//"): // with two slashes, Opaque would be taken for an authority
		out.URL.Opaque = path
	}
}
