package recipe

import (
	"regexp"
	"strings"
)

// instruction is one instruction of a Dockerfile, its lines joined.
type instruction struct {
	line int
	name string // upper case
	rest string
}

var directive = regexp.MustCompile(`^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`)

// parseDockerfile reads the instructions and the escape character. It joins continued lines as the engine does and leaves
// comments and the syntax directive out: the classic builder ignores them.
func parseDockerfile(text string) ([]instruction, byte, error) {
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
	escape := escapeOf(lines)
	var out []instruction
	var joined strings.Builder
	start := 0
	flush := func() {
		rest := trimEscapes(strings.TrimSpace(joined.String()), escape)
		if name, rest := splitInstruction(rest); name != "" {
			out = append(out, instruction{line: start, name: name, rest: rest})
		}
		joined.Reset()
		start = 0
	}
	for i, line := range lines {
		if strings.ContainsRune(line, 0) {
			return nil, 0, refuse(i+1, "it holds a NUL byte")
		}
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue // also within a continued instruction
		}
		if start == 0 {
			start = i + 1
		}
		body, more := strings.CutSuffix(strings.TrimRight(line, " \t\r"), string(escape))
		joined.WriteString(body)
		if !more {
			flush()
		}
	}
	flush()
	return out, escape, nil
}

// escapeOf reads the escape directive, which must stand above everything else.
func escapeOf(lines []string) byte {
	for _, line := range lines {
		m := directive.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			break
		}
		if strings.EqualFold(m[1], "escape") && m[2] == "`" {
			return '`'
		}
	}
	return '\\'
}

// trimEscapes makes sure that the written line does not go on in the next one.
func trimEscapes(s string, escape byte) string {
	return strings.TrimRight(s, string(escape)+" \t\r")
}

func splitInstruction(s string) (name, rest string) {
	at := strings.IndexAny(s, " \t\v\f\r")
	if at < 0 {
		return strings.ToUpper(s), ""
	}
	return strings.ToUpper(s[:at]), strings.TrimSpace(s[at:])
}
