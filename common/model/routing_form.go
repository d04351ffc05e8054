package model

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// RoutingNames are the settings of a Routing under their names in JSON, in the
// order in which people see them.
var RoutingNames = []string{
	"policy", "hash_on", "sticky", "https_redirect", "redirects", "allow_from", "basic_auth", "max_body", "max_in_flight",
	"rate", "source_rate", "header_timeout", "idle_timeout", "total_timeout", "compress", "maintenance_page", "error_page",
}

// RoutingValue turns what a person typed for a setting into what Merge takes;
// nothing typed is nil, the default. Users of basic_auth are names alone here:
// passwords have a way of their own.
func RoutingValue(name, text string) (any, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	switch name {
	case "policy", "hash_on":
		if text = strings.TrimSpace(text); text == PolicyLeast {
			return nil, nil // the default
		}
		return text, nil
	case "header_timeout", "idle_timeout", "total_timeout":
		return timeSpan(name, strings.TrimSpace(text))
	case "maintenance_page", "error_page":
		return text, nil
	case "sticky", "allow_from":
		return words(text), nil
	case "https_redirect", "compress":
		return onOff(name, strings.TrimSpace(text))
	case "redirects":
		return redirectLines(text)
	case "basic_auth":
		var users []BasicUser
		for _, w := range words(text) {
			users = append(users, BasicUser{Name: w})
		}
		return users, nil
	case "max_body":
		return byteCount(strings.TrimSpace(text))
	case "max_in_flight":
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return nil, E(CodeBadRouting, "max_in_flight: %q is not a number", clip(text, 40))
		}
		return n, nil
	case "rate", "source_rate":
		return rateOf(name, text)
	}
	return nil, E(CodeBadRouting, "there is no routing setting %q", clip(name, 40)).WithNext("dinp routing --help lists them")
}

// words splits at blanks and commas.
func words(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t' })
}

func timeSpan(name, text string) (any, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, E(CodeBadRouting, "%s: %q is no time span such as 500ms, 30s or 5m", name, clip(text, 40))
	}
	return Duration(d), nil
}

func onOff(name, text string) (any, error) {
	switch strings.ToLower(text) {
	case "on", "true", "yes":
		return true, nil
	case "off", "false", "no":
		return nil, nil
	}
	return nil, E(CodeBadRouting, "%s: say on or off, not %q", name, clip(text, 40))
}

// redirectLines reads one redirect a line: FROM TO, and a status if not 302.
func redirectLines(text string) (any, error) {
	var out []Redirect
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		r := Redirect{}
		if len(f) == 2 || len(f) == 3 {
			r.From, r.To = f[0], f[1]
		}
		var err error
		if len(f) == 3 {
			r.Status, err = strconv.Atoi(f[2])
		}
		if r.From == "" || err != nil {
			return nil, E(CodeBadRouting, "redirects: %q is not FROM TO [STATUS]", clip(strings.TrimSpace(line), 80)).WithNext("write one redirect a line, such as: /old/* /new/* 301")
		}
		out = append(out, r)
	}
	return out, nil
}

var byteUnits = []struct {
	suffix string
	size   int64
}{{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}}

func byteCount(text string) (any, error) {
	s, unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "B"), "I"), int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = rest, u.size
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return nil, E(CodeBadRouting, "max_body: %q is no size such as 512K, 10M or 1G", clip(text, 40))
	}
	return n * unit, nil
}

// rateOf reads PER_SECOND or PER_SECOND:BURST.
func rateOf(name, text string) (any, error) {
	rate, burst, both := strings.Cut(strings.TrimSpace(text), ":")
	perSecond, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rate), "/s")), 64)
	r := Rate{PerSecond: perSecond}
	if err == nil && both {
		r.Burst, err = strconv.Atoi(strings.TrimSpace(burst))
	}
	if err != nil || !(perSecond > 0) || perSecond > MaxRate { // also what JSON cannot hold
		return nil, E(CodeBadRouting, "%s: %q is not requests per second such as 100, or 100:500 with a burst", name, clip(text, 40))
	}
	return r, nil
}

// Show returns a setting as RoutingValue takes it; "" for the default.
func (r *Routing) Show(name string) string {
	if r == nil {
		return ""
	}
	switch name {
	case "policy":
		return r.Policy
	case "hash_on":
		return r.HashOn
	case "sticky":
		return strings.Join(r.Sticky, " ")
	case "https_redirect":
		return showOn(r.HTTPSRedirect)
	case "redirects":
		return showRedirects(r.Redirects)
	case "allow_from":
		return strings.Join(r.AllowFrom, " ")
	case "basic_auth":
		return showUsers(r.BasicAuth)
	case "max_body":
		return showBytes(r.MaxBody)
	case "max_in_flight":
		return showNumber(int64(r.MaxInFlight))
	case "rate":
		return showRate(r.Rate)
	case "source_rate":
		return showRate(r.SourceRate)
	case "header_timeout":
		return showSpan(r.HeaderTimeout)
	case "idle_timeout":
		return showSpan(r.IdleTimeout)
	case "total_timeout":
		return showSpan(r.TotalTimeout)
	case "compress":
		return showOn(r.Compress)
	case "maintenance_page":
		return r.MaintenancePage
	case "error_page":
		return r.ErrorPage
	}
	return ""
}

func showOn(b bool) string {
	if b {
		return "on"
	}
	return ""
}

func showNumber(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func showSpan(d Duration) string {
	if d == 0 {
		return ""
	}
	return time.Duration(d).String()
}

func showBytes(n int64) string {
	for i := len(byteUnits) - 1; i >= 0; i-- {
		if u := byteUnits[i]; n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.suffix
		}
	}
	return showNumber(n)
}

func showRate(r *Rate) string {
	if r == nil {
		return ""
	}
	s := strconv.FormatFloat(r.PerSecond, 'g', -1, 64)
	if r.Burst > 0 {
		s += ":" + strconv.Itoa(r.Burst)
	}
	return s
}

func showUsers(list []BasicUser) string {
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
	}
	return strings.Join(names, " ")
}

func showRedirects(list []Redirect) string {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%s %s", d.From, d.To)
		if d.Status != 0 {
			fmt.Fprintf(&b, " %d", d.Status)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
