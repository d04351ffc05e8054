package view

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// funcs are what templates may call, bound to one language.
func funcs(lang string) template.FuncMap {
	return template.FuncMap{
		"t":     func(key string, args ...any) (string, error) { return text(lang, key, args...) },
		"tn":    func(key string, n int) (string, error) { return plural(lang, key, n) },
		"asset": assetPath, "icon": icon,
		"mib": mib, "bytes": byteSize, "cores": func(m int64) string { return cores(lang, m) }, "coresUsed": coreCount, "share": share,
		"stamp":   func(t time.Time) time.Time { return t },
		"ago":     func(t time.Time) string { return ago(lang, time.Since(t)) },
		"took":    func(from, to time.Time) string { return took(from, to, time.Now()) },
		"span":    func(d model.Duration) string { return time.Duration(d).Round(time.Millisecond).String() },
		"when":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"clock":   func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"rfc":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"bare":    bareURL,
		"short":   func(id string) string { return id[:min(8, len(id))] },
		"subject": subject,
		"cause":   func(c string) string { return Text(lang, "cause."+c) },

		"chart": newChart, "millis": millis, "rate": rate,

		"appBadge":        func(a api.App) Badge { return appBadge(lang, a) },
		"instanceBadge":   func(i api.Instance) Badge { return instanceBadge(lang, i) },
		"rebaseBadge":     func(r api.Rebase) Badge { return rebaseBadge(lang, r) },
		"rebaseStepBadge": func(a api.RebaseApp) Badge { return rebaseStepBadge(lang, a) },
		"rebaseCounts":    func(r api.Rebase) string { return rebaseCounts(lang, r) },
		"buildBadge":      func(b api.Build) Badge { return buildBadge(lang, b) },
		"releaseBadge":    func(r api.Release) Badge { return releaseBadge(lang, r) },
		"nodeBadge":       func(n api.Node) Badge { return nodeBadge(lang, n) },
		"deploySteps":     func(d api.Deploy) []Step { return deploySteps(lang, d) },
		"deployError":     deployError,
		"feed":            func(e []api.Event, showApp bool) Feed { return newFeed(e, showApp) },
	}
}

// subject is what an event was done to; of a long name, as IDs are, the beginning.
func subject(s string) string {
	if r := []rune(s); len(r) > 36 || len(r) == 36 && strings.Count(s, "-") == 4 {
		return string(r[:8])
	}
	return s
}

func mib(n int64) string {
	switch {
	case n == 0:
		return "–"
	case n >= 1024 && n%1024 == 0:
		return strconv.FormatInt(n/1024, 10) + " GiB"
	case n >= 10*1024:
		return fmt.Sprintf("%.1f GiB", float64(n)/1024)
	}
	return strconv.FormatInt(n, 10) + " MiB"
}

func byteSize(n int64) string {
	switch {
	case n < 1e3:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// coreCount writes thousandths of a core as cores: 1500 is "1.5".
func coreCount(milli int64) string {
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
}

// cores is a CPU limit in words: 0 means none.
func cores(lang string, milli int64) string {
	if milli == 0 {
		return Text(lang, "cpu.fair")
	}
	return Text(lang, "cpu.cores", coreCount(milli))
}

// share is used of total in percent, 0 to 99.6 so that a full bar keeps its edge.
func share(used, total int64) float64 {
	if total <= 0 || used <= 0 {
		return 0
	}
	return min(99.6, float64(used*1000/total)/10)
}

// ago is coarse on purpose: live pages send what changed, and seconds always do.
func ago(lang string, d time.Duration) string {
	n := func(key string, n int) string {
		s, err := plural(lang, key, n)
		if err != nil {
			return key
		}
		return s
	}
	switch {
	case d < time.Minute:
		return Text(lang, "ago.now")
	case d < time.Hour:
		return n("ago.min", int(d/time.Minute))
	case d < 24*time.Hour:
		return n("ago.hour", int(d/time.Hour))
	}
	return n("ago.day", int(d/(24*time.Hour)))
}

func took(from, to, now time.Time) string {
	if from.IsZero() {
		return "–"
	}
	if to.IsZero() {
		to = now
	}
	d := to.Sub(from)
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// bareURL is a URL as people say it: without scheme and the last slash.
func bareURL(u string) string {
	_, rest, ok := strings.Cut(u, "://")
	if !ok {
		rest = u
	}
	return strings.TrimSuffix(rest, "/")
}
