package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/images"
	"github.com/dinp/dinp/images/base"
)

// baseImagesCommand makes and pushes the base images of the runtimes.
func baseImagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "base-images", Short: "Make the runtimes' base images from Debian packages, and push them to a registry",
		Example: "  dinp base-images build\n  dinp base-images push 127.0.0.1:5000",
	}
	dir := cmd.PersistentFlags().String("dir", "", "folder of the base images (default: the user's cache)")
	build := &cobra.Command{
		Use: "build", Short: "Make those that are missing or out of date", Example: "  dinp base-images build", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, err := baseImagesDir(*dir)
			if err != nil {
				return err
			}
			return base.BuildAll(cmd.Context(), images.FS, to, cmd.ErrOrStderr())
		},
	}
	push := &cobra.Command{
		Use: "push REGISTRY", Short: "Push them to a registry; cheap when they are there", Example: "  dinp base-images push registry.example.com:5000", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := baseImagesDir(*dir)
			if err != nil {
				return err
			}
			digests, err := base.Push(cmd.Context(), from, args[0])
			for name, digest := range digests {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\n", name, digest)
			}
			return err
		},
	}
	cmd.AddCommand(build, push)
	return cmd
}

func baseImagesDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	return base.DefaultDir()
}
