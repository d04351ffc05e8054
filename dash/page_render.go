package dash

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/view"
)

// pageViews are parsed once for all dashes of a process: they are embedded, so a
// page that does not parse is a broken build and no reason to go on.
var pageViews = sync.OnceValue(func() *view.Views {
	v, err := view.New()
	if err != nil {
		panic(err)
	}
	return v
})

// newPage is a page for this request; section is its entry in the navigation.
func (d *Dash) newPage(c *gin.Context, section, title string, data any) *view.Page {
	p := &view.Page{Lang: langOf(c), Title: title, Path: "/apps", Section: section, Version: d.cfg.Version, Data: data}
	if c.Request.Method == http.MethodGet {
		p.Path = c.Request.URL.RequestURI() // a form's address cannot be come back to
	}
	if a := actorOf(c); a.UserID != "" {
		p.User = &view.User{Name: a.Name, Admin: a.Role == model.Admin}
	}
	return p
}

// show answers with a page. A problem is what the last action ran into: it stands
// on top of the page, and the answer has its status.
func (d *Dash) show(c *gin.Context, name string, p *view.Page, problem error) {
	status := http.StatusOK
	if problem != nil {
		p.Error = d.userError(c, problem)
		status = statusOf(p.Error)
	}
	d.renderStatus(c, status, name, p)
}

func (d *Dash) renderStatus(c *gin.Context, status int, name string, p *view.Page) {
	if p.Flash == nil {
		p.Flash = d.takeFlash(c)
	}
	var b bytes.Buffer
	if err := pageViews().Render(&b, name, p); err != nil {
		d.log.Error("page not rendered", "page", name, "request", requestID(c), "err", err)
		c.String(http.StatusInternalServerError, "internal error; the log of dash has it under request %s", requestID(c))
		return
	}
	c.Data(status, "text/html; charset=utf-8", b.Bytes())
}

// The flash is a notice carried over one redirect, in a cookie of its reader: who
// changes it lies to nobody but themselves, and it is escaped like any text.
const (
	flashCookie = "dinp_flash"
	flashTime   = 60 // seconds
)

// flashSize is how long the warnings of a notice may be together: a cookie has room
// for 4,000 bytes, of which its encoding takes a quarter.
const flashSize = 2000

// done ends a form: a notice, and the page to read it on.
func (d *Dash) done(c *gin.Context, to, key string, args ...any) {
	d.doneBut(c, to, nil, key, args...)
}

// doneBut ends a form whose change was taken with warnings.
func (d *Dash) doneBut(c *gin.Context, to string, warnings []string, key string, args ...any) {
	f := view.Flash{Text: text(c, key, args...)}
	for left := flashSize; len(warnings) > 0 && len(warnings[0]) <= left; warnings = warnings[1:] {
		left -= len(warnings[0])
		f.Kind, f.Warnings = "warn", append(f.Warnings, warnings[0])
	}
	d.flash(c, f)
	c.Redirect(http.StatusSeeOther, to)
}

func (d *Dash) flash(c *gin.Context, f view.Flash) {
	b, err := json.Marshal(f)
	if err != nil {
		d.log.Error("notice not written", "err", err)
		return
	}
	d.plainCookie(c, flashCookie, base64.RawURLEncoding.EncodeToString(b), flashTime)
}

func (d *Dash) takeFlash(c *gin.Context) *view.Flash {
	raw, err := c.Cookie(flashCookie)
	if err != nil || raw == "" {
		return nil
	}
	d.plainCookie(c, flashCookie, "", -1)
	var f view.Flash
	b, err := base64.RawURLEncoding.DecodeString(raw)
	if err != nil || json.Unmarshal(b, &f) != nil || f.Text == "" {
		return nil
	}
	if f.Kind != "warn" {
		f.Kind = "" // it becomes a class
	}
	return &f
}

// text is a message in the request's language.
func text(c *gin.Context, key string, args ...any) string { return view.Text(langOf(c), key, args...) }
