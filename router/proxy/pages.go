package proxy

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// text is what a visitor reads: what happened, and what to do. It says nothing
// of addresses, instances or causes.
type text struct{ title, message, next string }

// texts has one entry a code the router answers with, in every language.
var texts = map[string]map[model.Code]text{
	"en": {
		model.CodeBadRequest:   {"This cannot be asked for here", "The router opens no tunnels (CONNECT), and serves paths alone.", "Ask for the address directly."},
		model.CodeSourceLimit:  {"Too many requests", "More requests come from your address than are served in this time.", "Wait a few seconds, then try again."},
		model.CodeNoSuchHost:   {"No app answers at this address", "Nothing is deployed under this host name.", "Check the address for typing errors. If the app is yours, look at its domains in the dashboard."},
		model.CodeNoReady:      {"The app is not ready", "It exists, but no instance of it takes requests at the moment.", "Try again in a few seconds."},
		model.CodeBadGateway:   {"The app broke the connection", "It was asked, but gave no usable answer.", "Try again. If the app is yours, its log says more."},
		model.CodeGatewaySlow:  {"The app did not answer in time", "It was asked, and is still silent.", "Try again later. What you sent may have been carried out."},
		model.CodeMaintenance:  {"Down for maintenance", "The owner of this app has taken it out of service for a while.", "Come back later."},
		model.CodeTooBusy:      {"The app is busy", "It serves as many requests as its owner allows.", "Try again in a second."},
		model.CodeRateLimited:  {"Too many requests", "More requests came than the owner of this app allows in this time.", "Wait a few seconds, then try again."},
		model.CodeNotFromHere:  {"This app is not open to your address", "Its owner has named the addresses that may use it.", "Use the network it is meant for, or ask its owner."},
		model.CodeNeedsLogin:   {"A name and a password are needed", "The owner of this app lets in only those who have them.", "Reload the page to be asked again."},
		model.CodeBodyTooLarge: {"What you sent is too large", "It is past the size that the owner of this app allows.", "Send less at a time."},
	},
	"zh": {
		model.CodeBadRequest:   {"不支持该请求", "路由器不建立隧道（CONNECT），只接受路径形式的目标。", "请直接访问该地址。"},
		model.CodeSourceLimit:  {"请求过多", "来自您的地址的请求超过了允许的速率。", "请稍等几秒再试。"},
		model.CodeNoSuchHost:   {"该地址没有应用", "此主机名下没有部署任何应用。", "请检查地址是否有误。如果这是您的应用，请在控制台查看它的域名。"},
		model.CodeNoReady:      {"应用尚未就绪", "应用存在，但目前没有实例可以处理请求。", "请过几秒再试。"},
		model.CodeBadGateway:   {"应用中断了连接", "请求已转发，但没有得到可用的回应。", "请重试。如果这是您的应用，请查看它的日志。"},
		model.CodeGatewaySlow:  {"应用未及时响应", "请求已转发，但应用一直没有回应。", "请稍后再试。您提交的操作可能已经执行。"},
		model.CodeMaintenance:  {"维护中", "应用的所有者已将其暂时下线。", "请稍后再来。"},
		model.CodeTooBusy:      {"应用繁忙", "正在处理的请求已达到应用所有者允许的上限。", "请稍后一秒再试。"},
		model.CodeRateLimited:  {"请求过多", "请求超过了应用所有者允许的速率。", "请稍等几秒再试。"},
		model.CodeNotFromHere:  {"此应用不对您的地址开放", "应用的所有者限定了可以访问的地址。", "请使用允许的网络，或联系应用的所有者。"},
		model.CodeNeedsLogin:   {"需要用户名和密码", "应用的所有者只允许持有者访问。", "请刷新页面重新输入。"},
		model.CodeBodyTooLarge: {"发送的内容过大", "超过了应用所有者允许的大小。", "请减少单次发送的内容。"},
	},
}

// page is the error page in the form of OUTSIDE.md "Errors".
type page struct {
	Code      model.Code `json:"code"`
	Message   string     `json:"message"`
	Next      string     `json:"next"`
	RequestID string     `json:"request_id"`
	Title     string     `json:"-"`
	Lang      string     `json:"-"`
}

// refuse answers the request itself.
func (x *exchange) refuse(f refusal) {
	x.Code, x.Why = f.code, f.why
	if f.status >= 500 {
		x.p.errors.Add(1)
	}
	h := x.w.Header()
	if f.location != "" {
		x.redirect(f)
		return
	}
	h.Set("Cache-Control", "no-store")
	if f.challenge != "" {
		h.Set("WWW-Authenticate", f.challenge)
	}
	if f.last {
		h.Set("Connection", "close")
	}
	h.Set("Dinp-Error", string(f.code)) // tells our answers from the app's
	h.Set(headerRequestID, x.RequestID)
	if f.retryAfter != "" {
		h.Set("Retry-After", f.retryAfter)
	}
	if isGRPC(x.r) {
		x.refuseGRPC(f)
		return
	}
	lang := language(x.r.Header.Get("Accept-Language"))
	t := texts[lang][f.code]
	p := page{Code: f.code, Message: t.title + ". " + t.message, Next: t.next, RequestID: x.RequestID, Title: t.title, Lang: lang}
	if lang == "zh" {
		p.Message = t.title + "。" + t.message
	}
	h.Set("Vary", "Accept, Accept-Language")
	h.Set("Content-Language", lang)
	var body []byte
	if acceptsHTML(x.r.Header.Get("Accept")) {
		h.Set("Content-Type", "text/html; charset=utf-8")
		if own := x.page(p, t.message); own != "" {
			body = []byte(own)
		} else {
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			body = p.html(t.message)
		}
	} else {
		h.Set("Content-Type", "application/json; charset=utf-8")
		body = p.json()
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(f.status)
	if x.r.Method != http.MethodHead {
		x.w.Write(body) // a client that left cannot be told
	}
}

// redirect sends the client elsewhere.
func (x *exchange) redirect(f refusal) {
	h := x.w.Header()
	h.Set("Location", f.location)
	h.Set("Content-Length", "0")
	h.Set(headerRequestID, x.RequestID)
	x.w.WriteHeader(f.status)
}

// fillPage puts values, made harmless for HTML, in the places of an app's own page.
func fillPage(own string, values map[string]string) string {
	pairs := make([]string, 0, 2*len(values))
	for name, v := range values {
		pairs = append(pairs, name, template.HTMLEscapeString(v))
	}
	return strings.NewReplacer(pairs...).Replace(own)
}

// refuseGRPC answers in the form gRPC clients show to their users: 200 with the
// status in the head.
func (x *exchange) refuseGRPC(f refusal) {
	status := "14" // unavailable
	switch f.code {
	case model.CodeNoSuchHost:
		status = "12" // unimplemented
	case model.CodeGatewaySlow:
		status = "4" // deadline exceeded
	case model.CodeNeedsLogin:
		status = "16" // unauthenticated
	case model.CodeNotFromHere:
		status = "7" // permission denied
	case model.CodeSourceLimit, model.CodeRateLimited, model.CodeBodyTooLarge:
		status = "8" // resource exhausted
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", status)
	h.Set("Grpc-Message", string(f.code)+" "+texts["en"][f.code].title)
	x.w.WriteHeader(http.StatusOK)
}

func (p page) json() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic("proxy: encode page: " + err.Error()) // strings: cannot happen
	}
	return append(b, '\n')
}

func (p page) html(message string) []byte {
	var b strings.Builder
	if err := pageTemplate.Execute(&b, map[string]any{"P": p, "Message": message}); err != nil {
		panic("proxy: render page: " + err.Error()) // strings: cannot happen
	}
	return []byte(b.String())
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="{{.P.Lang}}"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{{.P.Title}}</title>
<style>
:root{color-scheme:light dark;--fg:#1c1e21;--bg:#f6f7f9;--dim:#5f6670}
@media(prefers-color-scheme:dark){:root{--fg:#e6e8eb;--bg:#15171a;--dim:#9aa2ad}}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--bg);color:var(--fg);font:1rem/1.6 system-ui,sans-serif}
main{max-width:34rem;padding:2rem}h1{font-size:1.5rem;margin:0 0 .5rem}p{margin:.4rem 0}small{color:var(--dim)}
</style>
<main><h1>{{.P.Title}}</h1><p>{{.Message}}</p><p>{{.P.Next}}</p><p><small>{{.P.Code}} · {{.P.RequestID}}</small></p></main>
</html>
`))

func isGRPC(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// acceptsHTML: only browsers name it; everything else reads JSON better.
func acceptsHTML(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		if name, q := quality(part); (name == "text/html" || name == "application/xhtml+xml") && q > 0 {
			return true
		}
	}
	return false
}

// language returns "zh" or "en", whichever the client likes better.
func language(accept string) string {
	best, bestQ := "en", 0.0
	for part := range strings.SplitSeq(accept, ",") {
		tag, q := quality(part)
		base, _, _ := strings.Cut(tag, "-")
		if (base == "zh" || base == "en") && q > bestQ {
			best, bestQ = base, q
		}
	}
	return best
}

// quality splits "text/html;q=0.8".
func quality(part string) (name string, q float64) {
	name, params, _ := strings.Cut(strings.ToLower(part), ";")
	q = 1
	for p := range strings.SplitSeq(params, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				q = f
			}
		}
	}
	return strings.TrimSpace(name), q
}
