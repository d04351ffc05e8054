package dash

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
)

const (
	sessionCookie = "dinp_session"
	sessionTime   = 7 * 24 * time.Hour
	tokenPrefix   = "dinp_"
	actorKey      = "dinp.actor"
)

// actorOf is who makes the request; its UserID is "" for nobody.
func actorOf(c *gin.Context) model.Actor {
	a, _ := c.Get(actorKey)
	actor, _ := a.(model.Actor)
	return actor
}

// authenticate finds out who makes the request, by bearer token or cookie. It
// refuses a credential that is wrong, but not its absence: requireActor does.
func (d *Dash) authenticate(c *gin.Context) {
	if err := d.identify(c); err != nil {
		if wantsPage(c) && model.IsKind(err, model.Unauthentic) {
			d.clearCookie(c) // an old cookie must not keep people from the login page
			return
		}
		d.fail(c, err)
	}
}

func (d *Dash) identify(c *gin.Context) error {
	ctx := c.Request.Context()
	if h := c.GetHeader("Authorization"); h != "" {
		scheme, secret, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(secret, tokenPrefix) {
			return model.E(model.CodeUnauthentic, "the Authorization header holds no token of dinp").WithNext("send: Authorization: Bearer dinp_…")
		}
		t, err := d.store.TokenByHash(ctx, hashSecret(strings.TrimSpace(secret)), time.Now())
		if err != nil {
			return err
		}
		return d.become(c, t.UserID)
	}
	cookie, err := c.Cookie(sessionCookie)
	if err != nil || cookie == "" {
		return nil
	}
	login, err := d.store.LoginByHash(ctx, hashSecret(cookie), time.Now())
	if err != nil {
		return err
	}
	return d.become(c, login.UserID)
}

func (d *Dash) become(c *gin.Context, userID string) error {
	actor, err := d.store.ActorOf(c.Request.Context(), userID)
	if model.IsKind(err, model.NotFound) {
		return model.E(model.CodeUnauthentic, "the user of this login does not exist any more")
	}
	if err != nil {
		return err
	}
	actor.From = c.ClientIP()
	c.Set(actorKey, actor)
	return nil
}

// requireActor refuses requests of nobody; people are sent to the login page and
// come back from there to where they wanted to go.
func (d *Dash) requireActor(c *gin.Context) {
	if actorOf(c).UserID != "" {
		return
	}
	if !wantsPage(c) {
		d.fail(c, model.E(model.CodeUnauthentic, "this needs a login").
			WithNext("send a token: Authorization: Bearer dinp_…; dinp login makes one"))
		return
	}
	to := "/login"
	if c.Request.Method == http.MethodGet && c.Request.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(c.Request.URL.RequestURI())
	}
	c.Abort()
	if c.GetHeader("HX-Request") != "" {
		c.Header("HX-Redirect", to) // a fragment must not be replaced by the login page
		c.Status(http.StatusUnauthorized)
		return
	}
	c.Redirect(http.StatusSeeOther, to)
}

// startSession logs a browser in under a new secret; an older one of the same
// browser ends, so that a planted cookie is worth nothing.
func (d *Dash) startSession(c *gin.Context, actor model.Actor) error {
	ctx := c.Request.Context()
	if old, err := c.Cookie(sessionCookie); err == nil {
		if err := d.store.DeleteLogin(ctx, hashSecret(old)); err != nil {
			return err
		}
	}
	secret, err := d.newLogin(ctx, actor)
	if err != nil {
		return err
	}
	d.setCookie(c, secret, int(sessionTime.Seconds()))
	return nil
}

// endSession logs the browser out.
func (d *Dash) endSession(c *gin.Context) error {
	defer d.clearCookie(c)
	secret, err := c.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	return d.store.DeleteLogin(c.Request.Context(), hashSecret(secret))
}

func (d *Dash) newLogin(ctx context.Context, actor model.Actor) (string, error) {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails: it ends the program instead
	secret := base64.RawURLEncoding.EncodeToString(raw)
	err := d.store.CreateLogin(ctx, model.Session{Hash: hashSecret(secret), UserID: actor.UserID, ExpiresAt: time.Now().Add(sessionTime)}, actor)
	return secret, err
}

func (d *Dash) clearCookie(c *gin.Context) { d.setCookie(c, "", -1) }

func (d *Dash) setCookie(c *gin.Context, value string, maxAge int) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: d.cfg.CookieSecure || c.Request.TLS != nil,
	})
}

// hashSecret is what is stored of a token or cookie. Both are random and long,
// so a plain hash cannot be reversed by guessing.
func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// newToken makes the secret of a bearer token.
func newToken() string { return tokenPrefix + rand.Text() }
