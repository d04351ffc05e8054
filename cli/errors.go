package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/model"
)

// The exit codes of the binary.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitInterrupted = 130 // as a shell reports a program that Ctrl-C ended
)

// UsageError is a command line that cannot be understood.
type UsageError struct {
	Err  error
	Help string // the command that explains how it is meant
}

// Error returns what is wrong with the command line.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Execute runs root with the arguments of the process, prints the error if
// there is one, and returns the exit code. ctx ends with the user's Ctrl-C.
func Execute(ctx context.Context, root *cobra.Command) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	started := false
	before := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		started = true
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if !started { // cobra itself refused it
		err = usage(cmd, asWritten(cmd, err))
	}
	PrintError(root.ErrOrStderr(), err)
	return ExitCode(err)
}

// asWritten says how a command is written to somebody who gave it too few words, or
// too many.
func asWritten(cmd *cobra.Command, err error) error {
	if text := err.Error(); !strings.HasPrefix(text, "accepts ") && !strings.HasPrefix(text, "requires at least") {
		return err
	}
	return fmt.Errorf("write it as: %s (%w)", cmd.UseLine(), err)
}

func usage(cmd *cobra.Command, err error) error {
	var already *UsageError
	if errors.As(err, &already) {
		return err
	}
	return &UsageError{Err: err, Help: cmd.CommandPath() + " --help"}
}

// ExitCode returns the exit code that tells scripts how a command ended.
func ExitCode(err error) int {
	var wrong *UsageError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &wrong):
		return ExitUsage
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	return ExitFailure
}

// PrintError writes err in the one form that all of dinp uses: code and
// message, evidence, what still works, what to do next.
func PrintError(w io.Writer, err error) {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "interrupted")
		return
	}
	e := present(err)
	fmt.Fprintf(w, "error %s: %s\n", e.Code, clean(e.Error()))
	for _, line := range e.Evidence {
		fmt.Fprintf(w, "  %s\n", clean(line))
	}
	if e.Still != "" {
		fmt.Fprintf(w, "still: %s\n", clean(e.Still))
	}
	if e.Next != "" {
		fmt.Fprintf(w, "next: %s\n", clean(e.Next))
	}
}

// present gives an error of any origin its code. Here, unlike on a server, the
// text of an error that is not ours is shown: it is about the user's machine.
func present(err error) *model.Error {
	var e *model.Error
	var wrong *UsageError
	var path *os.PathError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &wrong):
		return model.E(model.CodeBadRequest, "%s", firstLine(wrong.Error())).WithNext("%s", wrong.Help)
	case errors.As(err, &path), errors.Is(err, context.DeadlineExceeded):
		return model.E(model.CodeBadRequest, "%v", err)
	}
	return model.E(model.CodeInternal, "%v", err)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// clean takes control characters out of text that came over the network, so
// that a build log cannot rewrite the terminal it is shown on.
func clean(s string) string {
	s = escapes.ReplaceAllString(s, "")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
