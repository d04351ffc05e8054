// Command app is the web app inside the tests' image. It answers every request
// with its environment's APP_NAME, prints what TEST_LINES holds, and misbehaves
// as TEST_EXIT and TEST_IGNORE_TERM say. TEST_EAT makes it allocate memory
// until the kernel kills it.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if os.Getenv("TEST_IGNORE_TERM") == "1" {
		signal.Ignore(syscall.SIGTERM)
	}
	if lines := os.Getenv("TEST_LINES"); lines != "" {
		fmt.Fprintln(os.Stdout, strings.ReplaceAll(lines, ",", "\n"))
	}
	if code, err := strconv.Atoi(os.Getenv("TEST_EXIT")); err == nil {
		os.Exit(code)
	}
	if os.Getenv("TEST_EAT") != "" {
		eat()
	}
	http.HandleFunc("/", answer)
	http.HandleFunc("/print", func(_ http.ResponseWriter, r *http.Request) { fmt.Fprintln(os.Stdout, r.FormValue("line")) })
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(9) })
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+os.Getenv("PORT"), nil))
	os.Exit(1)
}

func answer(w http.ResponseWriter, _ *http.Request) {
	for _, k := range []string{"APP_NAME", "DINP_RELEASE", "DINP_INSTANCE", "DINP_SLOT", "HOST_IP"} {
		fmt.Fprintf(w, "%s=%s\n", k, os.Getenv(k))
	}
}

func eat() {
	var kept [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		kept = append(kept, b)
		_ = kept
	}
}
