// Command caddy is Caddy with its standard modules, as a peer for the bench of
// the router. It is a module of its own: the product does not depend on it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
