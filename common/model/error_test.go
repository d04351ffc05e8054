package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestError_Forms(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk full")
	e := E(CodeNoMemory, "%d of %d nodes fit", 0, 4).WithNext("dinp %s", "nodes").WithStill("v%d serves", 1).WithEvidence("n1 full").WithEvidence("n2 full").WithCause(cause)
	if e.Kind != Failed || e.Error() != "0 of 4 nodes fit: disk full" || !errors.Is(e, cause) || e.Next != "dinp nodes" || e.Still != "v1 serves" || len(e.Evidence) != 2 {
		t.Errorf("made %+v", e)
	}
	wrapped := fmt.Errorf("start web.3: %w", e)
	if !IsKind(wrapped, Failed) || !IsCode(wrapped, CodeNoMemory) || IsKind(cause, Failed) || IsCode(nil, CodeNoMemory) || AsError(wrapped) != e {
		t.Error("a wrapped error is not recognised")
	}
}

func TestError_WithReturnsACopy(t *testing.T) {
	t.Parallel()
	base := E(CodeNoNode, "none").WithEvidence("a")
	first, second := base.WithEvidence("b"), base.WithEvidence("c")
	base.WithNext("x").WithStill("y").WithCause(errors.New("z"))
	if len(base.Evidence) != 1 || first.Evidence[1] != "b" || second.Evidence[1] != "c" || base.Next+base.Still != "" || base.Err != nil {
		t.Errorf("%v, %v, %v", base, first.Evidence, second.Evidence)
	}
}

func TestAsError_SaysNothingOfAnUnknownCause(t *testing.T) {
	t.Parallel()
	e := AsError(errors.New("password hunter2 refused by 10.0.0.5"))
	b, err := json.Marshal(e)
	if err != nil || e.Kind != Internal || strings.Contains(string(b), "hunter2") || !strings.Contains(e.Err.Error(), "hunter2") {
		t.Errorf("%s, %v", b, err)
	}
}

// Every code that is declared has a kind, and no two constants share a code.
func TestCodes_AreComplete(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Code") {
			declared = append(declared, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	slices.Sort(declared)
	if len(declared) < 40 || len(slices.Compact(slices.Clone(declared))) != len(declared) {
		t.Errorf("%d codes are declared: %v", len(declared), declared)
	}
	known := Codes()
	for _, c := range declared {
		if known[Code(c)] == "" {
			t.Errorf("%s has no kind", c)
		}
		delete(known, Code(c))
	}
	if len(known) > 0 {
		t.Errorf("kinds of codes that are not declared: %v", known)
	}
	if E("D999", "x").Kind != Internal {
		t.Error("an unknown code is not internal")
	}
}
