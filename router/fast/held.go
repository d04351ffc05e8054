//go:build linux

package fast

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// A tls.Conn keeps the buffers into which it has read for as long as it lives:
// that of the handshake, and one for the largest record that has come. A
// connection that rests needs neither. They cannot be given back by its API; so
// they are found by name and type, and where a version of crypto/tls has others
// nothing is given back (TestTLS_TheBuffersThatAreGivenBackAreThoseOfThisCryptoTLS fails).
var (
	rawInput  = fieldOfTLS("rawInput", reflect.TypeFor[bytes.Buffer]())
	handshake = fieldOfTLS("hand", reflect.TypeFor[bytes.Buffer]())
	input     = fieldOfTLS("input", reflect.TypeFor[bytes.Reader]())
)

// noField is the place of a field that is not there, or is of another type.
const noField = ^uintptr(0)

func fieldOfTLS(name string, of reflect.Type) uintptr {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || f.Type != of {
		return noField
	}
	return f.Offset
}

// giveBack drops the buffers of c that are empty and larger than most bytes. Nobody
// else may use c meanwhile.
func giveBack(c *tls.Conn, most int) {
	if rawInput == noField || handshake == noField || input == noField {
		return
	}
	p := unsafe.Pointer(c)
	if (*bytes.Reader)(unsafe.Add(p, input)).Len() > 0 { // it lies in rawInput
		return
	}
	for _, at := range [...]uintptr{rawInput, handshake} {
		if b := (*bytes.Buffer)(unsafe.Add(p, at)); b.Len() == 0 && b.Cap() > most {
			*b = bytes.Buffer{}
		}
	}
}
