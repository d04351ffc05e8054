package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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
		Use: "push REGISTRY [RUNTIME…]", Short: "Push them, or some of them, to a registry; cheap when they are there",
		Example: "  dinp base-images push registry.example.com:5000\n  dinp base-images push registry.example.com:5000 java tomcat", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := baseImagesDir(*dir)
			if err != nil {
				return err
			}
			digests, err := base.Push(cmd.Context(), from, args[0], args[1:])
			for name, digest := range digests {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\n", name, digest)
			}
			return err
		},
	}
	cmd.AddCommand(build, push, pinCommand())
	return cmd
}

// pinCommand writes digests into a file of base images.
func pinCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pin FILE", Short: "Write the digests that a file's base images have now behind their tags", Example: "  dinp base-images pin bases.yml",
		Long: "Ask the registries for the digest of every image in FILE that is named by a tag alone, and write it into the file.\n" +
			"To take newer images, remove the digests and pin again.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			pinned, changed, err := base.Pin(cmd.Context(), content, remote.WithAuthFromKeychain(authn.DefaultKeychain))
			if err != nil {
				return err
			}
			for _, line := range changed {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return os.WriteFile(args[0], pinned, 0o644)
		},
	}
}

func baseImagesDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	return base.DefaultDir()
}
