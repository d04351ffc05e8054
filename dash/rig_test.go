package dash

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/pki/pkitest"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

const testSecret = "the cluster's secret"

// cluster signs for dash and the leader that is played to it.
var cluster = pkitest.New()

// onBoth runs a test on the embedded database and on MariaDB.
func onBoth(t *testing.T, f func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); f(t, storetest.SQLite(t)) })
	t.Run("mariadb", func(t *testing.T) { t.Parallel(); f(t, "mysql:"+testenv.MariaDB(t)) })
}

// rig is a dash that runs, with a real database and registry, and a leader that
// says what the test tells it to.
type rig struct {
	*Dash
	t        *testing.T
	leads    *fakeLeader
	lease    store.Lease
	admin    string // tokens
	password string // of admin, by withPassword
	stop     func() error
}

func newRig(t *testing.T, url string, change ...func(*Config)) *rig {
	t.Helper()
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	leads := newFakeLeader(t)
	cfg := Default()
	cfg.Listen, cfg.Admin, cfg.Secret, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", testSecret, t.TempDir()
	cfg.Identity = cluster.Part(pki.RoleDash, "dash")
	cfg.Servers, cfg.Registry = []string{leads.addr}, "127.0.0.1:1" // nobody listens there
	for _, f := range change {
		f(&cfg)
	}
	r := &rig{t: t, leads: leads}
	r.run(cfg, st)
	r.begin()
	return r
}

// run lets the rig's dash be a new one, until it is stopped or the test ends.
func (r *rig) run(cfg Config, st *store.Store) {
	r.t.Helper()
	d, err := New(cfg, st, slog.New(slog.NewTextHandler(testLog{r.t}, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := d.Listen(); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	r.Dash, r.stop = d, stop
	r.t.Cleanup(func() {
		if err := stop(); err != nil {
			r.t.Errorf("stop: %v", err)
		}
	})
}

// another is a second dash on the same database and registry, in the place of one that is gone.
func (r *rig) another() {
	r.t.Helper()
	cfg := r.cfg
	cfg.Data = r.t.TempDir()
	r.run(cfg, r.store)
}

func withRegistry(t *testing.T) func(*Config) {
	return func(c *Config) { c.Registry = testenv.Registry(t) }
}

// begin makes the team, the admin and a token of hers without the password that
// Bootstrap makes, which costs a second in a race test, and the lease of a leader.
func (r *rig) begin() {
	r.t.Helper()
	ctx := r.t.Context()
	team, err := r.store.CreateTeam(ctx, defaultTeam, platform)
	if err != nil {
		r.t.Fatal(err)
	}
	r.member(team.ID, firstUser, model.Admin, model.Owner)
	if r.admin, err = r.IssueToken(ctx, firstUser, "test"); err != nil {
		r.t.Fatal(err)
	}
	if r.lease, err = r.store.TakeLease(r.t.Context(), store.Lease{Name: "leader"}, "s1", "127.0.0.1:1", 1); err != nil {
		r.t.Fatal(err)
	}
}

// member makes a user without a password; role "" is none.
func (r *rig) member(teamID, name string, global model.GlobalRole, role model.TeamRole) {
	r.t.Helper()
	u, err := r.store.CreateUser(r.t.Context(), model.User{Name: name, Role: global}, platform)
	if err == nil && role != "" {
		err = r.store.SetMembership(r.t.Context(), store.Membership{TeamID: teamID, UserID: u.ID, Role: role}, platform)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// withPassword gives the admin a password.
func (r *rig) withPassword() *rig {
	r.t.Helper()
	r.password = "correct horse"
	hash, err := r.passwords.hash(r.t.Context(), r.password)
	if err == nil {
		err = r.store.SetPassword(r.t.Context(), mustUser(r.t, r, firstUser).ID, hash, platform)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return r
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a goroutine of the HTTP server may end after the test
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (r *rig) url(path string) string {
	if strings.HasPrefix(path, apiBase) {
		return "http://" + r.Addr() + path
	}
	return "http://" + r.Addr() + apiBase + path
}

// request makes a request; body is JSON unless it is a reader. headers are pairs.
func (r *rig) request(method, path, token string, body any, headers ...string) *http.Response {
	r.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case io.Reader:
		in = b
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url(path), in)
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// call makes a request and reads the whole answer.
func (r *rig) call(method, path, token string, body any, headers ...string) (int, string, http.Header) {
	r.t.Helper()
	resp := r.request(method, path, token, body, headers...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// do makes a request that must end with status, and reads its answer into T.
func do[T any](r *rig, want int, method, path, token string, body any, headers ...string) T {
	r.t.Helper()
	status, text, _ := r.call(method, path, token, body, headers...)
	if status != want {
		r.t.Fatalf("%s %s: got %d, want %d: %s", method, path, status, want, text)
	}
	var v T
	if text != "" {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			r.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return v
}

// refused makes a request that must be refused with a code.
func (r *rig) refused(code model.Code, method, path, token string, body any, headers ...string) *model.Error {
	r.t.Helper()
	status, text, _ := r.call(method, path, token, body, headers...)
	var e api.ErrorBody
	if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error == nil {
		r.t.Fatalf("%s %s: got %d and no error: %s", method, path, status, text)
	}
	if e.Error.Code != code || status != statusOf(e.Error) {
		r.t.Fatalf("%s %s: got %d %s, want %s: %s", method, path, status, e.Error.Code, code, text)
	}
	return e.Error
}

// user makes a user with a role in the team default ("" none) and returns a token.
func (r *rig) user(name string, role model.TeamRole) string {
	r.t.Helper()
	team, err := r.store.TeamByName(r.t.Context(), defaultTeam)
	if err != nil {
		r.t.Fatal(err)
	}
	r.member(team.ID, name, model.Member, role)
	token, err := r.IssueToken(r.t.Context(), name, "test")
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}
