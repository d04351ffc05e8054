// Package recipe decides how an artifact becomes an image. It sees a list of files and a few small texts and returns
// values: which runtime, why, which command, which Dockerfile. It does no I/O, so every decision can be shown to a user
// and tested as a table.
//
// Runtimes are data: a folder with a runtime.yaml (and a Dockerfile, when the runtime must run something at build time).
// An operator adds one without touching Go.
package recipe
