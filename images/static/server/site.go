package main

import (
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
)

// site answers requests from the files of one folder. os.Root keeps every path, and every symbolic link, inside of it.
type site struct {
	root *os.Root
	spa  bool
	tags etags
}

// newSite serves root. With spa, addresses that name no file show /index.html, whose script then reads the address.
func newSite(root *os.Root, spa bool) *site {
	return &site{root: root, spa: spa}
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this site only serves files: GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name, isDir, ok := s.find(r.URL.Path)
	switch {
	case ok && isDir:
		redirect(w, r)
	case ok:
		s.file(w, r, name)
	case s.spa && routable(r.URL.Path) && s.isFile("index.html"):
		s.file(w, r, "index.html")
	default:
		s.missing(w, r)
	}
}

// find turns an address into the name of a file, relative to the root. isDir tells of a folder with an index that was
// asked for without its final slash: relative links in that index would break there.
func (s *site) find(address string) (name string, isDir, ok bool) {
	if hidden(address) || strings.ContainsAny(address, "\x00\\") {
		return "", false, false
	}
	name = strings.TrimPrefix(path.Clean("/"+address), "/")
	index := path.Join(name, "index.html")
	switch {
	case strings.HasSuffix(address, "/") || name == "":
		return index, false, s.isFile(index)
	case s.isFile(name):
		return name, false, true
	default:
		return name, true, s.isFile(index)
	}
}

// hidden reports whether an address names a dotfile (.git, .env, .htpasswd …). /.well-known is public by its standard.
func hidden(address string) bool {
	for part := range strings.SplitSeq(address, "/") {
		if strings.HasPrefix(part, ".") && part != ".well-known" && part != "." && part != ".." {
			return true
		}
	}
	return false
}

// routable reports whether a missing address may be a page of a single-page app: a missing script or picture is an
// error, and HTML in its place would only hide that.
func routable(address string) bool {
	return !hidden(address) && typeByName(address) == ""
}

func (s *site) isFile(name string) bool {
	info, err := s.root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// redirect adds the final slash. The target is a path made by us from a cleaned one, so "//host" cannot lead elsewhere.
func redirect(w http.ResponseWriter, r *http.Request) {
	to := url.URL{Path: path.Clean("/"+r.URL.Path) + "/", RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
}

// file sends a file or its precompressed twin, with ranges and conditions as the client asks.
func (s *site) file(w http.ResponseWriter, r *http.Request, name string) {
	chosen, encoding, varies := s.choose(name, r.Header.Get("Accept-Encoding"))
	f, err := s.root.Open(chosen)
	if err != nil {
		refuse(w, err)
		return
	}
	defer f.Close()
	tag, err := s.tags.of(f)
	if err != nil {
		refuse(w, err)
		return
	}
	h := w.Header()
	if varies {
		h.Add("Vary", "Accept-Encoding")
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Type", s.typeOf(name))
	h.Set("X-Content-Type-Options", "nosniff")
	// "Keep it, but ask": a new release shows at once, and an unchanged file costs a 304.
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", tag)
	// No modification time: artifacts carry none worth trusting, and the tag is exact.
	http.ServeContent(w, r, "", time.Time{}, f)
}

// missing sends the site's own 404.html, if it has one.
func (s *site) missing(w http.ResponseWriter, r *http.Request) {
	page, err := s.root.ReadFile("404.html")
	if err != nil {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusNotFound)
	if r.Method == http.MethodGet {
		_, _ = w.Write(page) // a client that left is no error of ours
	}
}

// refuse answers for a file that is there but cannot be read.
func refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	http.Error(w, "the file cannot be read", http.StatusInternalServerError)
}
