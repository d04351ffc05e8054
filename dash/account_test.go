package dash

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestBootstrap_OneOfManyMakesTheAdmin(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		if err := r.store.DeleteUser(t.Context(), mustUser(t, r, "admin").ID, platform); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var passwords []string
		for range 4 {
			wg.Go(func() {
				p, created, err := r.Bootstrap(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("bootstrap: %v", err)
				}
				if created {
					passwords = append(passwords, p)
				} else if p != "" {
					t.Error("a password without a user")
				}
			})
		}
		wg.Wait()
		if len(passwords) != 1 {
			t.Fatalf("%d processes made the admin", len(passwords))
		}
		if _, err := r.Login(t.Context(), "admin", passwords[0], "10.0.0.1"); err != nil {
			t.Errorf("the password that was told: %v", err)
		}
	})
}

func mustUser(t *testing.T, r *rig, name string) model.User {
	t.Helper()
	u, err := r.store.UserByName(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestLogin_RefusesAlikeAndRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t)).withPassword()
	wrong := r.refused(model.CodeUnauthentic, "POST", "/login", "", api.Login{User: "admin", Password: "guess"})
	unknown := r.refused(model.CodeUnauthentic, "POST", "/login", "", api.Login{User: "nobody", Password: "guess"})
	empty := r.refused(model.CodeUnauthentic, "POST", "/login", "", api.Login{})
	long := r.refused(model.CodeUnauthentic, "POST", "/login", "", api.Login{User: "admin", Password: strings.Repeat("x", 5000)})
	for _, e := range []*model.Error{unknown, empty, long} {
		if e.Message != wrong.Message || e.Next != wrong.Next {
			t.Errorf("the refusals differ: %+v and %+v", wrong, e)
		}
	}
	events := do[api.Page[api.Event]](r, 200, "GET", "/audit", r.admin, nil)
	seen := 0
	for _, e := range events.Items {
		if e.Verb == "user.login" && e.Outcome == "D102" && e.From == "127.0.0.1" {
			seen++
		}
	}
	if seen != 4 {
		t.Errorf("%d refused logins are in the audit log, want 4", seen)
	}
	token := do[api.Token](r, 200, "POST", "/login", "", api.Login{User: "admin", Password: r.password})
	if !strings.HasPrefix(token.Secret, "dinp_") || token.Name != "cli" {
		t.Fatalf("login: got %+v", token)
	}
	if me := do[api.User](r, 200, "GET", "/whoami", token.Secret, nil); me.Name != "admin" || me.Role != "admin" || me.Teams["default"] != "owner" {
		t.Errorf("whoami: got %+v", me)
	}
}

func TestLogin_IsLimitedPerUserAndAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t)).withPassword()
	for range attemptsPerUser {
		r.refused(model.CodeUnauthentic, "POST", "/login", "", api.Login{User: "admin", Password: "guess"})
	}
	e := r.refused(model.CodeTooMany, "POST", "/login", "", api.Login{User: "admin", Password: r.password})
	if !strings.HasPrefix(e.Next, "wait ") {
		t.Errorf("next step: %q", e.Next)
	}
	r.refused(model.CodeUnauthentic, "POST", "/login", "", api.Login{User: "somebody", Password: "guess"})
	if _, err := r.Login(t.Context(), "admin", r.password, "10.9.9.9"); err != nil {
		t.Errorf("from another address: %v", err)
	}
}

func TestThrottle_CountsAndForgets(t *testing.T) {
	t.Parallel()
	th, now := newThrottle(), time.Unix(1000, 0)
	for i := range attemptsPerAddr {
		if err := th.attempt(fmt.Sprint("u", i), "a", now); err != nil {
			t.Fatal(err)
		}
	}
	if err := th.attempt("fresh", "a", now); !model.IsCode(err, model.CodeTooMany) {
		t.Errorf("spraying users from one address: %v", err)
	}
	if err := th.attempt("fresh", "a", now.Add(throttleWindow)); err != nil {
		t.Errorf("after the window: %v", err)
	}
	for range 3 * attemptsPerUser {
		if err := th.attempt("right", "b", now); err != nil {
			t.Fatalf("with the right password: %v", err)
		}
		th.succeeded("right", "b")
	}
	for i := range 3 * throttleMaxTracks {
		_ = th.attempt(fmt.Sprint("flood", i), fmt.Sprint("c", i), now)
	}
	if len(th.counts) > throttleMaxTracks+2 {
		t.Errorf("%d entries are kept", len(th.counts))
	}
}

func TestPasswords_HashAndVerify(t *testing.T) {
	t.Parallel()
	p := newPasswords()
	hash, err := p.hash(t.Context(), "hunter22")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("hash: %s %v", hash, err)
	}
	old := "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzYWx0$" + strings.Repeat("A", 43)
	for _, c := range []struct {
		hash, password string
		ok, stale      bool
	}{
		{hash, "hunter22", true, false}, {hash, "hunter2", false, false}, {hash, "", false, false},
		{"", "hunter22", false, false}, {"$argon2id$v=19$m=0,t=0,p=0$$", "x", false, false}, {"plain", "plain", false, false},
		{old, "hunter22", false, true},
	} {
		ok, stale, err := p.verify(t.Context(), c.hash, c.password)
		if err != nil || ok != c.ok || stale != c.stale {
			t.Errorf("verify(%q, %q): got %v %v %v", c.hash, c.password, ok, stale, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	if _, _, err := p.verify(gone, hash, "hunter22"); err == nil {
		t.Error("a client that is gone still waits for a slot")
	}
}

// TestSession_Cookie drives the middleware through a small server of its own: the
// login page is the pages' part.
func TestSession_Cookie(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t)).withPassword()
	g := gin.New()
	g.Use(r.observe, r.authenticate)
	g.POST("/in", func(c *gin.Context) {
		a, err := r.Login(c, "admin", r.password, c.ClientIP())
		if err == nil {
			err = r.startSession(c, a)
		}
		r.replyDone(c, err)
	})
	g.POST("/out", func(c *gin.Context) { r.replyDone(c, r.endSession(c)) })
	g.GET("/who", r.requireActor, func(c *gin.Context) { c.String(200, actorOf(c).Name) })
	ask := func(method, path string, cookie *http.Cookie) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, path, nil)
		if cookie != nil {
			req.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, req)
		return w
	}
	first := ask("POST", "/in", &http.Cookie{Name: sessionCookie, Value: "planted"}).Result().Cookies()
	c := first[len(first)-1]
	if c.Name != "dinp_session" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || len(c.Value) != 43 || c.Secure {
		t.Fatalf("cookie: %+v", c)
	}
	if got := ask("GET", "/who", c); got.Body.String() != "admin" {
		t.Errorf("with the cookie: %d %s", got.Code, got.Body)
	}
	again := ask("POST", "/in", c).Result().Cookies()[0]
	if again.Value == c.Value {
		t.Error("the secret was not changed by a new login")
	}
	if got := ask("GET", "/who?x=1", c); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/login?next=%2Fwho%3Fx%3D1" {
		t.Errorf("with the old cookie: %d to %s", got.Code, got.Header().Get("Location"))
	}
	ask("POST", "/out", again)
	if got := ask("GET", "/who", again); got.Code != http.StatusSeeOther {
		t.Errorf("after the logout: %d", got.Code)
	}
}

func TestSameOrigin_RefusesForeignWritesWithACookie(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	secret, err := r.newLogin(t.Context(), model.Actor{UserID: mustUser(t, r, "admin").ID, Name: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	cookie := sessionCookie + "=" + secret
	body := api.CreateApp{Name: "shop"}
	r.refused(model.CodeDenied, "POST", "/apps", "", body, "Cookie", cookie, "Sec-Fetch-Site", "cross-site")
	r.refused(model.CodeDenied, "POST", "/apps", "", body, "Cookie", cookie, "Origin", "https://evil.example")
	do[api.Page[api.App]](r, 200, "GET", "/apps", "", nil, "Cookie", cookie, "Sec-Fetch-Site", "cross-site")
	do[api.App](r, 201, "POST", "/apps", "", body, "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	r.refused(model.CodeUnauthentic, "GET", "/apps", "", nil, "Cookie", sessionCookie+"=forged")
}

func TestTokens_LifeOfOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	made := do[api.Token](r, 201, "POST", "/tokens", r.admin, api.NewToken{Name: "ci", Days: 9})
	if made.Secret == "" || made.ExpiresAt.Before(time.Now().AddDate(0, 0, 8)) {
		t.Fatalf("made: %+v", made)
	}
	list := do[api.Page[api.Token]](r, 200, "GET", "/tokens", made.Secret, nil)
	if len(list.Items) != 2 || list.Items[0].Secret != "" || list.Items[1].Secret != "" {
		t.Errorf("list: %+v", list)
	}
	r.refused(model.CodeBadRequest, "POST", "/tokens", r.admin, api.NewToken{})
	r.refused(model.CodeBadRequest, "POST", "/tokens", r.admin, api.NewToken{Name: "x", Days: -1})
	other := r.user("ann", "")
	r.refused(model.CodeNotFound, "DELETE", "/tokens/"+made.ID, other, nil)
	do[any](r, 204, "DELETE", "/tokens/"+made.ID, r.admin, nil)
	r.refused(model.CodeUnauthentic, "GET", "/apps", made.Secret, nil)
	for _, h := range []string{"Basic YTpi", "Bearer", "Bearer nonsense", "Bearer dinp_"} {
		r.refused(model.CodeUnauthentic, "GET", "/apps", "", nil, "Authorization", h)
	}
	r.refused(model.CodeUnauthentic, "GET", "/apps", "", nil)
}

func TestUsersAndTeams(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.User](r, 201, "POST", "/users", r.admin, api.NewUser{Name: "ann", Password: "correct horse"})
	do[any](r, 204, "PUT", "/teams/default/members/ann", r.admin, api.Member{Role: "viewer"})
	ann, err := r.IssueToken(t.Context(), "ann", "test")
	if err != nil {
		t.Fatal(err)
	}
	if users := do[api.Page[api.User]](r, 200, "GET", "/users", ann, nil); len(users.Items) != 1 || users.Items[0].Name != "ann" {
		t.Errorf("what a member sees of the users: %+v", users)
	}
	if users := do[api.Page[api.User]](r, 200, "GET", "/users", r.admin, nil); len(users.Items) != 2 || users.Items[1].Teams["default"] != "viewer" {
		t.Errorf("what an admin sees of the users: %+v", users)
	}
	r.refused(model.CodeDenied, "POST", "/users", ann, api.NewUser{Name: "eve", Password: "12345678"})
	r.refused(model.CodeBadRequest, "POST", "/users", r.admin, api.NewUser{Name: "Eve", Password: "12345678"})
	r.refused(model.CodeBadRequest, "POST", "/users", r.admin, api.NewUser{Name: "eve", Password: "short"})
	r.refused(model.CodeBadRequest, "POST", "/users", r.admin, api.NewUser{Name: "eve", Password: "12345678", Role: "god"})
	r.refused(model.CodeConflict, "POST", "/users", r.admin, api.NewUser{Name: "ann", Password: "12345678"})
	r.refused(model.CodeDenied, "POST", "/teams", ann, api.NewTeam{Name: "web"})
	do[api.Team](r, 201, "POST", "/teams", r.admin, api.NewTeam{Name: "web"})
	r.refused(model.CodeConflict, "POST", "/teams", r.admin, api.NewTeam{Name: "web"})
	r.refused(model.CodeDenied, "PUT", "/teams/default/members/ann", ann, api.Member{Role: "owner"})
	r.refused(model.CodeNotFound, "PUT", "/teams/web/members/ann", ann, api.Member{Role: "owner"})
	r.refused(model.CodeBadRequest, "PUT", "/teams/web/members/ann", r.admin, api.Member{Role: "boss"})
	if teams := do[api.Page[api.Team]](r, 200, "GET", "/teams", ann, nil); len(teams.Items) != 1 || teams.Items[0].Members["ann"] != "viewer" {
		t.Errorf("what a member sees of the teams: %+v", teams)
	}
	do[any](r, 204, "PUT", "/teams/default/members/ann", r.admin, api.Member{Role: ""})
	if me := do[api.User](r, 200, "GET", "/whoami", ann, nil); len(me.Teams) != 0 {
		t.Errorf("after leaving: %+v", me)
	}
	r.refused(model.CodeUnauthentic, "PUT", "/users/ann/password", ann, newPassword{Old: "wrong", Password: "new password"})
	do[any](r, 204, "PUT", "/users/ann/password", ann, newPassword{Old: "correct horse", Password: "new password"})
	if _, err := r.Login(t.Context(), "ann", "new password", "10.0.0.1"); err != nil {
		t.Error(err)
	}
	r.refused(model.CodeDenied, "PUT", "/users/admin/password", ann, newPassword{Password: "new password"})
	r.refused(model.CodeConflict, "DELETE", "/users/admin", r.admin, nil)
	do[any](r, 204, "DELETE", "/users/ann", r.admin, nil)
	r.refused(model.CodeUnauthentic, "GET", "/whoami", ann, nil)
}
