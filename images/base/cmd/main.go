// Command cmd makes the base images of all runtimes into the cache: `make base-images`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/dinp/dinp/images"
	"github.com/dinp/dinp/images/base"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "base images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := base.DefaultDir()
	if err != nil {
		return err
	}
	if err := base.BuildAll(ctx, images.FS, dir, os.Stderr); err != nil {
		return err
	}
	fmt.Println(dir)
	return nil
}
