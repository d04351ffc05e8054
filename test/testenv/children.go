package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// family is all that this test process has started: one scratch folder and one process group.
//
// A test process can die at any instruction (panic, timeout, kill -9), so nothing inside it can be trusted to clean up.
// A shell outside of it, the keeper, reads a pipe whose only writer is the test process: when the read ends, the process
// is gone, and the keeper kills the group and removes the folder.
type family struct {
	dir   string
	group int
	// life is the writing end of the keeper's pipe. It is never written and never closed: the kernel closes it when
	// this process ends. Held here so that the garbage collector does not.
	life *os.File
}

// keeper waits for the end of its standard input, then ends group $1 and removes folder $2. The pause in the second try
// is for a process that was just creating a file when it was killed.
const keeper = `cat >/dev/null
kill -s KILL -- "-$1" 2>/dev/null
rm -rf -- "$2" 2>/dev/null || { sleep 1; rm -rf -- "$2"; }`

// theFamily is made on first use, once for the whole test process.
var theFamily = sync.OnceValues(newFamily)

func newFamily() (*family, error) {
	dir, err := os.MkdirTemp(scratchRoot(), "dinp-test-")
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// The anchor holds the process group open: children come and go, and a group without members cannot be joined.
	anchor := exec.Command("sleep", "infinity")
	anchor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := anchor.Start(); err != nil {
		return nil, fmt.Errorf("start anchor: %w", err)
	}
	group := anchor.Process.Pid
	k := exec.Command("sh", "-c", keeper, "testenv-keeper", strconv.Itoa(group), dir)
	k.Stdin = r
	// Its own session: Ctrl-C in the terminal must end the tests, not the one who cleans up after them.
	k.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := k.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start keeper: %w", err), anchor.Process.Kill())
	}
	return &family{dir: dir, group: group, life: w}, nil
}

// scratchRoot is the temporary folder, unless its name is so long that a unix socket inside would not fit in the 107
// bytes the kernel allows.
func scratchRoot() string {
	if dir := os.TempDir(); len(dir) <= 40 {
		return dir
	}
	return "/tmp"
}

// newDir makes a folder for one server.
func (f *family) newDir(name string) (string, error) {
	return os.MkdirTemp(f.dir, name+"-")
}

// child is a running server.
type child struct {
	cmd  *exec.Cmd
	log  string        // file with everything it printed
	done chan struct{} // closed by the goroutine in start, once the process is reaped
}

// start runs a server in dir, logging to dir/log, as a member of the family.
func (f *family) start(dir, name string, args ...string) (*child, error) {
	path, err := program(name)
	if err != nil {
		return nil, err
	}
	logPath := filepath.Join(dir, "log")
	out, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: f.group}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{cmd: cmd, log: logPath, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // a killed server is what we want; an early end is told by done and the log
		close(c.done)
	}()
	return c, nil
}

// await polls ready until it succeeds, the server ends, or time is up.
func (c *child) await(ready func() error) error {
	var ended error
	err := poll(startTimeout, func() error {
		select {
		case <-c.done:
			ended = fmt.Errorf("%s ended: %v", c.cmd.Path, c.cmd.ProcessState)
			return nil
		default:
			return ready()
		}
	})
	if err = errors.Join(ended, err); err != nil {
		c.stop()
		printed, _ := os.ReadFile(c.log)
		return fmt.Errorf("%w\n%s", err, printed)
	}
	return nil
}

// stop kills the server and returns when it is gone. Its data is scratch, so there is nothing to save.
func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// startOnFreePort starts a server that listens on a port we choose. Between choosing and listening another process may
// take the port; then the server ends at once and the next port is tried.
func (f *family) startOnFreePort(name string, args func(dir, addr string) ([]string, error)) (addr string, c *child, err error) {
	for range 3 {
		if addr, c, err = f.tryPort(name, args); err == nil {
			return addr, c, nil
		}
	}
	return "", nil, err
}

func (f *family) tryPort(name string, args func(dir, addr string) ([]string, error)) (string, *child, error) {
	dir, err := f.newDir(filepath.Base(name))
	if err != nil {
		return "", nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	list, err := args(dir, addr)
	if err != nil {
		return "", nil, err
	}
	c, err := f.start(dir, name, list...)
	if err != nil {
		return "", nil, err
	}
	return addr, c, c.await(func() error { return dialable("tcp", addr) })
}
