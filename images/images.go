// Package images holds the recipes of the runtimes: for each a folder with base.yaml (the base image, read by
// images/base) and runtime.yaml and Dockerfile (how an artifact is laid on it, read by the builder).
//
// They are embedded so that one binary can make its base images on any machine, without a checkout and without a public
// image registry.
package images

import "embed"

// FS holds one folder per runtime, named like it.
//
//go:embed static binary tomcat java node python php
var FS embed.FS
