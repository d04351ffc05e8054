package dash

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

// TestErrors_EveryCodeHasAPage keeps docs/errors.md and the codes equal.
func TestErrors_EveryCodeHasAPage(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`(?m)^### (D\d+)\n(\*\*.+)`).FindAllStringSubmatch(string(b), -1)
	var got []string
	for _, s := range sections {
		got = append(got, s[1])
		if len(s[2]) < 20 {
			t.Errorf("%s: its section says nothing", s[1])
		}
	}
	var want []string
	for c := range model.Codes() {
		want = append(want, string(c))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/errors.md against the codes, in order (-want +got):\n%s", diff)
	}
}

// TestErrors_StatusTable compares the table of docs/errors.md with the statuses served.
func TestErrors_StatusTable(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := model.Codes()
	for code := range codes {
		status := statusOf(model.E(code, "x"))
		row := regexp.MustCompile(`(?m)^\|[^|]*\| ` + strconv.Itoa(status) + ` \|(.*)\|$`).FindStringSubmatch(string(b))
		if row == nil || !inRanges(row[1], string(code)) {
			t.Errorf("%s is served as %d, which the table does not say", code, status)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(statuses)) {
		if statuses[k] < 400 || http.StatusText(statuses[k]) == "" {
			t.Errorf("kind %s has status %d", k, statuses[k])
		}
	}
	if got := statusOf(&model.Error{Kind: "new"}); got != 500 {
		t.Errorf("a kind that is not known: got %d", got)
	}
}

// inRanges reports whether a code is in a list such as "D101 D122–D124".
func inRanges(list, code string) bool {
	for w := range strings.FieldsSeq(list) {
		from, to, ranged := strings.Cut(w, "–")
		if !ranged {
			to = from
		}
		if from <= code && code <= to {
			return true
		}
	}
	return false
}
