package router

import (
	"net"
	"testing"
	"time"
)

func TestBind_AClientThatReadsNothingHoldsLittleOfTheKernelsMemory(t *testing.T) {
	t.Parallel()
	l, err := (&Router{}).bind("listen", "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	deaf, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	deaf.(*net.TCPConn).SetReadBuffer(4 << 10)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	took, piece := 0, make([]byte, 16<<10)
	for err == nil {
		var n int
		c.SetWriteDeadline(time.Now().Add(time.Second)) // what has room is taken at once
		n, err = c.Write(piece)
		took += n
	}
	// The client's kernel takes some as well: it had room when the connection began.
	if took < maxUnsent || took > maxUnsent+512<<10 {
		t.Errorf("%d bytes were taken for a client that reads nothing, want about %d", took, maxUnsent)
	}
}
