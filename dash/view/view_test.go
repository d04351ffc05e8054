package view

import (
	"bytes"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func render(t *testing.T, v *Views, lang string, s sample) string {
	t.Helper()
	var b bytes.Buffer
	p := &Page{
		Lang: lang, Title: "Title " + hostile, Path: "/apps?x=" + hostile, Section: "/apps", Version: "1.0", Live: "/live/apps", Refresh: true,
		User: &User{Name: "admin", Admin: true}, Flash: &Flash{Text: "done " + hostile}, Data: s.data,
	}
	if err := v.Render(&b, s.page, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestViews_EveryPageExecutesInEveryLanguage(t *testing.T) {
	t.Parallel()
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name, s := range samples() {
		seen[s.page] = true
		for _, lang := range Languages {
			got := render(t, v, lang, s)
			for _, want := range append(s.want, `lang="`+lang+`"`, `id="main"`) {
				if !strings.Contains(got, want) {
					t.Errorf("%s in %s lacks %q", name, lang, want)
				}
			}
			if strings.Contains(got, `="&#34;`) {
				t.Errorf("%s in %s has an attribute that the template package takes for script (data-on…): its text is quoted", name, lang)
			}
			if strings.Contains(got, "<script>") || strings.Contains(got, `"><script`) {
				t.Errorf("%s in %s: a hostile string is not escaped", name, lang)
			}
		}
	}
	for _, name := range v.Names() {
		if !seen[name] {
			t.Errorf("page %s has no sample", name)
		}
	}
}

// The content security policy forbids inline scripts and styles, and hosts but
// our own; a page that needs them would be broken in silence.
func TestViews_NoInlineScriptStyleOrForeignHost(t *testing.T) {
	t.Parallel()
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?: [^>]*)?>[^<]|javascript:`)
	foreign := regexp.MustCompile(`(?:src|href)="(?:https?:)?//([^"/]+)`)
	for name, s := range samples() {
		got := render(t, v, "en", s)
		if m := inline.FindString(got); m != "" {
			t.Errorf("%s has %q", name, m)
		}
		for _, m := range foreign.FindAllStringSubmatch(got, -1) {
			if !strings.HasSuffix(m[1], ".apps.localhost:8080") {
				t.Errorf("%s refers to %s", name, m[1])
			}
		}
	}
}

func TestViews_EveryFieldHasALabelAndEveryIDIsUnique(t *testing.T) {
	t.Parallel()
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	field := regexp.MustCompile(`<(?:input|select|textarea)[^>]*>`)
	id := regexp.MustCompile(`\sid="([^"]+)"`)
	for name, s := range samples() {
		got := render(t, v, "en", s)
		ids := map[string]bool{}
		for _, m := range id.FindAllStringSubmatch(got, -1) {
			if ids[m[1]] {
				t.Errorf("%s has two elements with id %q", name, m[1])
			}
			ids[m[1]] = true
		}
		for _, f := range field.FindAllString(got, -1) {
			m := id.FindStringSubmatch(f)
			labelled := strings.Contains(f, `type="hidden"`) || strings.Contains(f, "aria-label=") ||
				m != nil && strings.Contains(got, `for="`+m[1]+`"`) || regexp.MustCompile(`<label[^>]*>[^<]*`+regexp.QuoteMeta(f)).MatchString(got)
			if !labelled {
				t.Errorf("%s: field without a label: %s", name, f)
			}
		}
	}
}

func TestViews_FragmentIsPartOfItsPage(t *testing.T) {
	t.Parallel()
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{Lang: "en", User: &User{Name: "admin"}, Data: sampleFrame("")}
	for _, part := range []string{"app-head-live", "app-state", "app-why", "app-traffic", "app-instances", "app-switches", "app-facts"} {
		html, err := v.Fragment("app", part, p)
		if err != nil || html == "" || strings.Contains(html, "<html") {
			t.Errorf("fragment %s: %q, %v", part, html, err)
		}
	}
	if _, err := v.Fragment("app", "no-such-part", p); err == nil {
		t.Error("an unknown part was rendered")
	}
	if err := v.Render(&bytes.Buffer{}, "no-such-page", p); err == nil {
		t.Error("an unknown page was rendered")
	}
}

func TestCatalogue_SameKeysAndVerbsInEveryLanguage(t *testing.T) {
	t.Parallel()
	verbs := regexp.MustCompile(`%[a-z]`)
	en := catalogues["en"]
	for _, lang := range Languages {
		for key, s := range catalogues[lang] {
			if got, want := verbs.FindAllString(s, -1), verbs.FindAllString(en[key], -1); !slices.Equal(got, want) {
				t.Errorf("%s in %s takes %v, in en %v", key, lang, got, want)
			}
		}
		if got, want := slices.Sorted(maps.Keys(catalogues[lang])), slices.Sorted(maps.Keys(en)); !slices.Equal(got, want) {
			t.Errorf("%s has other keys than en: %v against %v", lang, got, want)
		}
	}
}

// Keys built at run time, by their beginnings.
var builtKeys = []string{"phase.", "node.", "role.", "cause.", "tab.", "build.", "rebase.", "ago.", "state.", "rel.", "flash.", "days.", "env.count.", "routing.", "link."}

func TestCatalogue_EveryKeyIsUsedAndKnown(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	quoted := regexp.MustCompile(`"([a-z]+(?:\.[a-z]+)*)"`)
	called := regexp.MustCompile(`\{?\(?\bt "([a-z.]+)"`)
	for _, glob := range []string{"templates/*.html", "*.go", "../page_*.go"} {
		files, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range quoted.FindAllStringSubmatch(string(b), -1) {
				used[m[1]] = true
			}
			for _, m := range called.FindAllStringSubmatch(string(b), -1) {
				if strings.HasSuffix(f, ".html") && catalogues["en"][m[1]] == "" {
					t.Errorf("%s uses the message %q, which does not exist", f, m[1])
				}
			}
		}
	}
	for key := range catalogues["en"] {
		built := slices.ContainsFunc(builtKeys, func(p string) bool { return strings.HasPrefix(key, p) })
		if !used[key] && !built {
			t.Errorf("message %q is not used", key)
		}
	}
}

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"": "en", "de": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh", "fr, zh-TW;q=0.5": "zh", "en-GB,zh": "en", "zh;q=0,en": "en", ";;,": "en",
	} {
		if got := Negotiate(accept); got != want {
			t.Errorf("Negotiate(%q) = %q, want %q", accept, got, want)
		}
	}
}

func TestServeAsset_HashedAndCachedForEver(t *testing.T) {
	t.Parallel()
	for name, at := range assetNames {
		w := httptest.NewRecorder()
		ServeAsset(w, httptest.NewRequest("GET", at, nil))
		if w.Code != 200 || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	w := httptest.NewRecorder()
	ServeAsset(w, httptest.NewRequest("GET", "/static/base.css", nil))
	if w.Code != 404 {
		t.Errorf("a name without hash answers %d", w.Code)
	}
}
