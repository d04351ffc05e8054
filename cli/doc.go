// Package cli is the command-line client of the REST API: the commands that
// people and scripts use from anywhere, over nothing but HTTP.
//
// cmd/dinp adds Commands to its root, next to the commands of the parts, and
// runs it with Execute. The package never starts a part, never opens the
// database, and knows of the platform only what the API tells it.
//
// Results go to stdout, and all that happens on the way to stderr, so that
// $(dinp deploy shop shop.war) is the URL and nothing else.
package cli
