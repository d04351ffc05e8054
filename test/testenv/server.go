package testenv

import "testing"

// Server starts a program that serves TCP, and returns its address. args
// returns its arguments, and may put what it needs into dir. The program is
// stopped when the test ends.
func Server(t testing.TB, name string, args func(dir, addr string) ([]string, error)) string {
	t.Helper()
	f, err := theFamily()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	addr, c, err := f.startOnFreePort(name, args)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(c.stop)
	return addr
}
