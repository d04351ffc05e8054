//go:build linux

package fast

import _ "unsafe" // go:linkname

// yield lets the goroutines run that wait for this processor, and tells the
// runtime's monitor that the loop gives way. runtime.Gosched would do more: it puts the
// loop into the queue of all processors and wakes another thread to look there,
// which as often as not takes the loop over. Who waits there has the processor
// that the loops leave (see processors). The runtime keeps name and type of
// goyield for programs that link to it, as gVisor does: go.dev/issue/67401.
//
//go:linkname yield runtime.goyield
func yield()
