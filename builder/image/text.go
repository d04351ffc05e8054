package image

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// ansi are the control sequences that programs colour their output with.
var ansi = regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]`)

// plain makes program output fit for a log that is shown in a browser and a terminal.
func plain(s string) string {
	s = ansi.ReplaceAllString(s, "")
	if at := strings.LastIndexByte(strings.TrimRight(s, "\r"), '\r'); at >= 0 {
		s = s[at+1:] // a progress bar's last state
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
