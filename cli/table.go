package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// escapes matches the control sequences of terminals: colours, titles, moves.
var escapes = regexp.MustCompile("\x1b(\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[@-Z\\\\-_])")

// table prints rows under a head, columns aligned.
func table(w io.Writer, head []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, r := range rows {
		for i := range r {
			r[i] = cell(r[i])
		}
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// cell keeps a value from breaking its line or column.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Join(strings.FieldsFunc(clean(s), func(r rune) bool { return r == '\t' || r == '\n' }), " ")
}

// show prints items as a table, or as JSON when --json asks for it.
func show[T any](s *session, items []T, head []string, row func(T) []string) error {
	if s.json {
		if items == nil {
			items = []T{} // a list is [] and never null
		}
		return printJSON(s.out, items)
	}
	rows := make([][]string, len(items))
	for i, v := range items {
		rows[i] = row(v)
	}
	return table(s.out, head, rows)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// facts prints name and value pairs; pairs without a value are left out.
func facts(w io.Writer, pairs ...string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", pairs[i], cell(pairs[i+1]))
		}
	}
	return t.Flush()
}

// when prints a time so that it sorts and can be compared with logs.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// size prints a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 3 {
		v, i = v/unit, i+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + "KMGT"[i:i+1] + "iB"
}

func memory(mib int64) string { return size(mib << 20) }

// cores prints thousandths of a core.
func cores(milli int64) string {
	if milli == 0 {
		return "shared"
	}
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", float64(milli)/1000), "0"), ".")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
