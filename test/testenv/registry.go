package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Registry returns host:port of an empty image registry (plain HTTP on loopback, deletion enabled) that belongs to this
// test alone, and is stopped when the test ends.
func Registry(t testing.TB) string {
	t.Helper()
	f, err := theFamily()
	if err != nil {
		t.Fatalf("registry: %v", err)
	}
	addr, c, err := f.startOnFreePort("docker-registry", registryArgs)
	if err != nil {
		t.Fatalf("registry: %v", err)
	}
	t.Cleanup(c.stop)
	return addr
}

const registryConfig = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
http: {addr: %q, secret: testenv}
`

func registryArgs(dir, addr string) ([]string, error) {
	config := filepath.Join(dir, "config.yml")
	content := fmt.Sprintf(registryConfig, filepath.Join(dir, "data"), addr)
	return []string{"serve", config}, os.WriteFile(config, []byte(content), 0o600)
}
