package view

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

// Languages are those the pages speak, the default first.
var Languages = []string{"en", "zh"}

//go:embed lang/*.json
var langFS embed.FS

// catalogues are the messages by language and key; written once, at start.
var catalogues = mustCatalogues()

func mustCatalogues() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, lang := range Languages {
		b, err := langFS.ReadFile("lang/" + lang + ".json")
		if err != nil {
			panic("view: " + err.Error()) // embedded: only a broken build comes here
		}
		m := map[string]string{}
		if err := json.Unmarshal(b, &m); err != nil {
			panic("view: lang/" + lang + ".json: " + err.Error())
		}
		out[lang] = m
	}
	return out
}

// Known reports whether the pages speak lang.
func Known(lang string) bool { return catalogues[lang] != nil }

// Negotiate picks the language for an Accept-Language header. Weights are not
// sorted: browsers write the list in order of preference.
func Negotiate(accept string) string {
	for part := range strings.SplitSeq(accept, ",") {
		tag, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if Known(base) && strings.TrimSpace(weight) != "q=0" {
			return base
		}
	}
	return Languages[0]
}

// Text is the message of key in lang, with args filled in.
func Text(lang, key string, args ...any) string {
	s, err := text(lang, key, args...)
	if err != nil {
		return key // a page with a key on it is better than none; a test finds missing keys
	}
	return s
}

func text(lang, key string, args ...any) (string, error) {
	if !Known(lang) {
		lang = Languages[0]
	}
	s, ok := catalogues[lang][key]
	if !ok {
		return "", fmt.Errorf("no message %q in %s", key, lang)
	}
	if len(args) == 0 {
		return s, nil
	}
	return fmt.Sprintf(s, args...), nil
}

// plural is the message of key.one or key.other with n filled in.
func plural(lang, key string, n int) (string, error) {
	if n == 1 {
		return text(lang, key+".one", n)
	}
	return text(lang, key+".other", n)
}
