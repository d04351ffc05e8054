package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/dinp/dinp/common/model"
)

// Config limits what is fetched.
type Config struct {
	Allow   []string      `yaml:"allow" help:"networks and addresses that artifacts may be fetched from although they are not public"`
	MaxMiB  int64         `yaml:"max_mib" help:"MiB that an artifact fetched from a URL may have"`
	Timeout time.Duration `yaml:"timeout" help:"time after which such a download is given up"`
	Stall   time.Duration `yaml:"stall" help:"time without a byte after which it is given up"`
}

// DefaultConfig is for artifacts of some hundred megabytes.
func DefaultConfig() Config {
	return Config{MaxMiB: 2048, Timeout: 10 * time.Minute, Stall: 30 * time.Second}
}

// Problems lists what is wrong with the limits.
func (c Config) Problems() []string {
	var out []string
	if _, err := NewGuard(c.Allow); err != nil {
		out = append(out, "sources.allow: "+err.Error())
	}
	if c.MaxMiB < 1 {
		out = append(out, fmt.Sprintf("sources.max_mib is %d; it must be at least 1", c.MaxMiB))
	}
	for name, d := range map[string]time.Duration{"timeout": c.Timeout, "stall": c.Stall} {
		if d < time.Second || d > 24*time.Hour {
			out = append(out, fmt.Sprintf("sources.%s is %s; it must be 1s to 24h", name, d))
		}
	}
	return out
}

// Fetcher downloads artifacts. It is safe for concurrent use.
type Fetcher struct {
	cfg    Config
	client *http.Client
}

// maxRedirects is more than any download page needs.
const maxRedirects = 5

// NewFetcher returns a fetcher; cfg has no problems.
func NewFetcher(cfg Config) (*Fetcher, error) {
	guard, err := NewGuard(cfg.Allow)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: guard.DialContext, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: cfg.Stall,
		MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
	}
	return &Fetcher{cfg: cfg, client: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}, nil
}

// CheckURL refuses what could never be fetched. What the name leads to is found out when it is fetched.
func CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err == nil && u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https":
		return nil, model.E(model.CodeBadSource, "%s is not fetched; only http and https are", clip(u.Scheme, 20)).WithNext("write it as https://host/path/shop.war")
	case err != nil, u.Host == "", u.Scheme == "", u.Opaque != "":
		return nil, model.E(model.CodeBadSource, "%.200q is no address of a file", text).WithNext("write it as https://host/path/shop.war")
	case u.User != nil:
		return nil, model.E(model.CodeBadSource, "the address has a user or password in it, which would be kept with the build").
			WithNext("use a signed address, or download the file yourself and deploy it")
	}
	return u, nil
}

// checkRedirect applies the rules for addresses to where a page leads; the guard sees the connection that comes of it.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return model.E(model.CodeSourceFailed, "the address redirects more than %d times", maxRedirects)
	}
	if _, err := CheckURL(req.URL.String()); err != nil {
		return err
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme == "http" {
		return model.E(model.CodeBadSource, "the address redirects from https to http").WithNext("give the address it ends at, if you trust the way there")
	}
	req.Header.Del("Referer") // the query of the first address may be a secret
	return nil
}

// Fetched is what an address gave.
type Fetched struct {
	SHA256   string // hex
	Size     int64
	Filename string // as the server or the address names it; never a path
}

// Fetch downloads what is at an address into a new file at path. want, if not "", is the SHA-256 that it must have. The
// address is asked once: what is hashed, checked and kept is one and the same answer.
func (f *Fetcher) Fetch(ctx context.Context, address, want, path string) (Fetched, error) {
	u, err := CheckURL(address)
	if err != nil {
		return Fetched{}, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, f.cfg.Timeout, errSlow)
	defer cancel()
	got, err := f.fetch(limited, u, path)
	if err != nil {
		os.Remove(path) // half a file is none
		return got, f.explain(ctx, limited, u, err)
	}
	if want != "" && got.SHA256 != want {
		os.Remove(path)
		return got, model.E(model.CodeSourceFailed, "%s gave a file with SHA-256 %s, wanted was %s", u.Host, got.SHA256, want).
			WithNext("find out which of both is right: the file may have been changed at its source")
	}
	return got, nil
}

var (
	errSlow  = errors.New("the download took too long")
	errStall = errors.New("no byte came")
)

func (f *Fetcher) fetch(ctx context.Context, u *url.URL, path string) (Fetched, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Fetched{}, err
	}
	req.Header.Set("User-Agent", "dinp-builder")
	res, err := f.client.Do(req)
	if err != nil {
		return Fetched{}, err
	}
	defer res.Body.Close()
	if err := f.judge(res); err != nil {
		return Fetched{}, err
	}
	dog := time.AfterFunc(f.cfg.Stall, func() { cancel(errStall) })
	defer dog.Stop()
	got := Fetched{Filename: filename(res)}
	got.SHA256, got.Size, err = f.save(&watched{res.Body, dog, f.cfg.Stall}, path)
	if err != nil && errors.Is(context.Cause(ctx), errStall) {
		err = errStall
	}
	return got, err
}

// judge refuses an answer by its head.
func (f *Fetcher) judge(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return model.E(model.CodeSourceFailed, "%s answered %s", res.Request.URL.Host, res.Status).WithNext("open the address in a browser; it must need no login")
	}
	if res.ContentLength > f.cfg.MaxMiB<<20 {
		return f.tooLarge()
	}
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		return nil // servers that know no type send none, or nonsense; the archive's own bytes decide later
	}
	// text/plain is what many servers send for what they do not know.
	if page := strings.HasPrefix(media, "text/") && media != "text/plain" || media == "application/json" || strings.HasSuffix(media, "xml") || strings.HasSuffix(media, "javascript"); page {
		return model.E(model.CodeSourceFailed, "%s answered with a page (%s) and not with a file", res.Request.URL.Host, clip(media, 60)).
			WithNext("give the address of the file itself; it must need no login")
	}
	return nil
}

func (f *Fetcher) tooLarge() error {
	return model.E(model.CodeTooLarge, "the file at the address is larger than the limit of %d MiB", f.cfg.MaxMiB).
		WithNext("leave out what the app does not need, or let an operator raise sources.max_mib of the builder")
}

// save writes and hashes the body.
func (f *Fetcher) save(body io.Reader, path string) (sum string, size int64, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	limit := f.cfg.MaxMiB << 20
	size, err = io.Copy(io.MultiWriter(file, h), io.LimitReader(body, limit+1))
	if err = errors.Join(err, file.Close()); err == nil && size > limit {
		err = f.tooLarge()
	}
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// watched moves a watchdog on with every byte.
type watched struct {
	io.Reader
	dog   *time.Timer
	stall time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.dog.Reset(w.stall)
	}
	return n, err
}

// filename is what the server calls the file, else the last word of the address it came from.
func filename(res *http.Response) string {
	name := path.Base(res.Request.URL.Path)
	if _, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		name = params["filename"]
	}
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, name)
	if name == "." || name == "/" || name == ".." {
		return ""
	}
	return clip(name, 200)
}

func clip(s string, n int) string {
	for len(s) > n {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return s
}

// explain says what went wrong, without the addresses that a network's inside has.
func (f *Fetcher) explain(outer, limited context.Context, u *url.URL, err error) error {
	var refused *model.Error
	var dns *net.DNSError
	switch {
	case outer.Err() != nil:
		return outer.Err()
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, ErrRefused):
		return model.E(model.CodeBadSource, "%s leads to an address that the platform does not fetch from: %s", u.Host, kindIn(err)).
			WithNext("put the file where everybody can fetch it, or deploy it by upload; an operator allows networks with sources.allow of the builder")
	case errors.Is(err, syscall.ENOSPC):
		return model.E(model.CodeDiskFull, "the builder's disk is full").WithCause(err).WithNext("free space in its work_dir, then deploy again")
	case errors.Is(err, errStall):
		return model.E(model.CodeSourceFailed, "%s sent nothing for %s", u.Host, f.cfg.Stall).WithNext("try again, or download the file yourself and deploy it")
	case errors.Is(context.Cause(limited), errSlow):
		return model.E(model.CodeSourceFailed, "%s did not send the whole file in %s, the limit", u.Host, f.cfg.Timeout).
			WithNext("download the file yourself and deploy it, or let an operator raise sources.timeout of the builder")
	case errors.As(err, &dns):
		return model.E(model.CodeSourceFailed, "there is no host %s", clip(u.Hostname(), 100)).WithNext("check the address")
	}
	return model.E(model.CodeSourceFailed, "%s cannot be fetched from: %s", u.Host, brief(err)).WithCause(err).WithNext("try again, or download the file yourself and deploy it")
}

// kindIn is the guard's own words in an error that others have wrapped.
func kindIn(err error) string {
	_, kind, _ := strings.Cut(err.Error(), ErrRefused.Error()+": ")
	return clip(kind, 100)
}

// brief is what went wrong without the address, which may hold a secret.
func brief(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return clip(err.Error(), 200)
}
