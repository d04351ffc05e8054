package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
)

func (c *console) buildCommands() []*cobra.Command {
	one := cobra.ExactArgs(1)
	build := c.command(spec{use: "build COMMAND", short: "Watch, cancel, show or verify one build", example: "  dinp build log ID -f", args: cobra.NoArgs, local: true,
		run: func(_ context.Context, s *session, _ []string) error {
			return usage(s.cmd, fmt.Errorf("say log ID, show ID, verify ID, provenance ID, sbom ID, signers, follow ID or cancel ID"))
		}})
	build.AddCommand(c.buildLogCommand(),
		c.command(spec{use: "follow ID", short: "Follow a build and the rollout after it to the end", long: "Follow a build and the rollout after it to the end, as `dinp deploy` does.",
			example: "  dinp build follow 0b5e", args: one, run: followBuild}),
		c.command(spec{use: "cancel ID", short: "End a build", example: "  dinp build cancel 0b5e", args: one, run: cancelBuild}))
	build.AddCommand(c.provenanceCommands()...)
	return []*cobra.Command{
		c.searchCommand(),
		c.command(spec{use: "builds [APP]", short: "List builds, newest first", example: "  dinp builds\n  dinp builds shop", args: cobra.MaximumNArgs(1),
			complete: appOnly, list: true, run: listBuilds}),
		build,
		c.command(spec{use: "cancel ID", short: "End a build", example: "  dinp cancel 0b5e", args: one, run: cancelBuild}),
	}
}

func listBuilds(ctx context.Context, s *session, args []string) error {
	q := url.Values{"limit": {"50"}}
	if len(args) == 1 {
		if err := appArg(args[0]); err != nil {
			return err
		}
		q.Set("app", args[0])
	}
	p, err := get[api.Page[api.Build]](ctx, s.api, "/builds?"+q.Encode())
	if err != nil {
		return err
	}
	return show(s, p.Items, []string{"ID", "APP", "STATUS", "STEP", "RUNTIME", "WHAT", "RELEASE", "BY", "AT"}, func(b api.Build) []string {
		what := b.Filename
		if b.ImageRef != "" {
			what = b.ImageRef
		}
		return []string{b.ID, b.App, b.Status, b.Step, b.Runtime, what, b.Release, b.CreatedBy, when(b.CreatedAt)}
	})
}

func (c *console) buildLogCommand() *cobra.Command {
	var follow, times bool
	cmd := c.command(spec{use: "log ID", short: "Show what a build wrote", example: "  dinp build log 0b5e -f", args: cobra.ExactArgs(1), list: true,
		run: func(ctx context.Context, s *session, args []string) error {
			path := at("builds", args[0], "log")
			if follow {
				return s.followBuildLog(ctx, args[0], path, times)
			}
			lines, err := s.lines(ctx, path)
			for err == nil && len(lines) > 0 {
				if err := s.printLog(lines, times); err != nil {
					return err
				}
				last := lines[len(lines)-1].Seq
				if last == 0 {
					return nil
				}
				lines, err = s.lines(ctx, fmt.Sprintf("%s?after=%d", path, last))
			}
			return err
		}})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the build ends")
	cmd.Flags().BoolVarP(&times, "times", "t", false, "begin lines with their time")
	return cmd
}

// followBuildLog prints a build's log until the build has ended.
func (s *session) followBuildLog(ctx context.Context, id, path string, times bool) error {
	var last int64
	return s.api.follow(ctx, stream{
		path: func() string { return fmt.Sprintf("%s?follow=true&after=%d", path, last) },
		each: func(e event) error {
			var l api.LogLine
			if err := e.line(&l); err != nil || e.name != "log" || l.Seq != 0 && l.Seq <= last {
				return err
			}
			last = l.Seq
			return s.printLog([]api.LogLine{l}, times)
		},
		ended: func() (bool, error) {
			b, err := get[api.Build](ctx, s.api, at("builds", id))
			return !b.EndedAt.IsZero(), err
		},
	})
}

func followBuild(ctx context.Context, s *session, args []string) error {
	d, err := get[api.Deploy](ctx, s.api, at("builds", args[0], "deploy"))
	if err != nil {
		return err
	}
	return s.finish(ctx, d, false)
}

func cancelBuild(ctx context.Context, s *session, args []string) error {
	b, err := send[api.Build](ctx, s.api, http.MethodPost, at("builds", args[0], "cancel"), nil)
	if err != nil {
		return err
	}
	if b.EndedAt.IsZero() {
		fmt.Fprintf(s.err, "build %s will end in a moment\n", b.ID)
		return nil
	}
	fmt.Fprintf(s.err, "build %s is %s\n", b.ID, b.Status)
	return nil
}
