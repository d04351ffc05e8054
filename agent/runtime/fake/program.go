package fake

import (
	"strconv"
	"strings"

	"github.com/dinp/dinp/agent/runtime"
)

// ByEnv is the Program of the conformance suite: it does what the variables
// TEST_LINES, TEST_EXIT and TEST_IGNORE_TERM say, as the suite's real image does.
func ByEnv(s runtime.Spec) Program {
	p := Program{IgnoreTerm: s.Env["TEST_IGNORE_TERM"] == "1"}
	if lines := s.Env["TEST_LINES"]; lines != "" {
		p.Lines = strings.Split(lines, ",")
	}
	if code, err := strconv.Atoi(s.Env["TEST_EXIT"]); err == nil {
		p.Exit, p.Code = true, code
	}
	if len(s.Command) > 0 && s.Command[0] == "/no-such-program" {
		p.StartError = "exec: " + s.Command[0] + ": no such file or directory"
	}
	return p
}
