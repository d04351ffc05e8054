package testenv

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestCable_CutHoldsBackAndJoinDelivers(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	cable := NewCable(t, "tcp", echo.Addr().String())
	c, err := net.Dial("tcp", cable.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(text string, patience time.Duration) (string, error) {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		return r.ReadString('\n')
	}
	if got, err := say("one\n", time.Minute); got != "one\n" {
		t.Fatalf("%q %v", got, err)
	}
	cable.Cut()
	cable.Cut()
	if got, err := say("two\n", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("through a cut cable came %q %v", got, err)
	}
	cable.Join()
	if got, err := say("three\n", time.Minute); got != "two\n" {
		t.Fatalf("%q %v", got, err)
	}
}
