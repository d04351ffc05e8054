// Command app is what the benchmark runs: a server that is ready a moment after
// it was started, answers with its host's name, and says on /healthz whether it
// is ready.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

// warmUp is how long it takes to be ready, as real programs do.
const warmUp = 200 * time.Millisecond

func main() {
	ready := time.Now().Add(warmUp)
	name, err := os.Hostname()
	if err == nil {
		err = http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if time.Now().Before(ready) {
				http.Error(w, "not ready yet", http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, name)
		}))
	}
	fmt.Fprintln(os.Stderr, "app:", err)
	os.Exit(1)
}
