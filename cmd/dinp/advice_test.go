package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What is told to do next must work: an operator types it at night. Every text in
// the sources that names a command of ours names one that exists, with flags that
// it takes.
func TestAdvice_NamesCommandsAndFlagsThatExist(t *testing.T) {
	found, root := 0, rootCommand()
	for _, a := range advices(t, "../..") {
		for _, line := range commandLine.FindAllString(a.text, -1) {
			words := strings.Fields(line)[1:]
			if prose[words[0]] {
				continue
			}
			found++
			if wrong := checkCommandLine(root, words); wrong != "" {
				t.Errorf("%s: %q: %s", a.at, line, wrong)
			}
		}
	}
	if found < 100 {
		t.Errorf("%d command lines were found in all advice: the search for them is broken", found)
	}
}

func TestAdvice_CheckFindsWhatIsWrong(t *testing.T) {
	for line, want := range map[string]string{
		"agent --server HOST:1970": "no flag --server",
		"nodess":                   "no command",
		"deploy APP --memory 1G":   "",
		"node web3 uncordon":       "",
		"build folow 12":           "no command",
		"token create-join":        "",
	} {
		if got := checkCommandLine(rootCommand(), strings.Fields(line)); (got == "") != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// commandLine is one as it stands in a sentence: up to what cannot be part of it.
var commandLine = regexp.MustCompile("\\bdinp [a-z][a-z-]*[^,;)`\"\\n]*")

var plainWord = regexp.MustCompile(`^[a-z]+$`)

// prose are the words that follow the product's name, or a command, in sentences.
var prose = map[string]bool{"takes": true, "does": true, "again": true, "base": true, "cluster": true, "lists": true, "shows": true, "prints": true}

// checkCommandLine says what is wrong with the words after dinp; "" when nothing is.
func checkCommandLine(root *cobra.Command, words []string) string {
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root {
		return "no command " + words[0]
	}
	if cmd.HasSubCommands() && len(rest) > 0 && plainWord.MatchString(rest[0]) && !prose[rest[0]] {
		return "no command " + rest[0] + " of " + cmd.Name()
	}
	for _, w := range rest {
		name, _, _ := strings.Cut(strings.TrimRight(w, ".:"), "=")
		if flag, ok := strings.CutPrefix(name, "--"); ok && flag != "" && flag != "help" && !hasFlag(cmd, flag) {
			return "no flag --" + flag + " of " + cmd.Name()
		}
	}
	return ""
}

func hasFlag(cmd *cobra.Command, name string) bool {
	return cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
}

// advice is a text that names a command, and where it stands.
type advice struct{ at, text string }

var adviceText = regexp.MustCompile(`\bdinp [a-z]`)

func advices(t *testing.T, root string) (out []advice) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "bench" || d.Name() == "test"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(lit.Value); err == nil && adviceText.MatchString(text) {
				out = append(out, advice{files.Position(lit.Pos()).String(), text})
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
