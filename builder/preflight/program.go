package preflight

import (
	"bytes"
	"debug/elf"
	"path"
	"strings"

	"github.com/dinp/dinp/builder/recipe"
)

// machines are the processors' names in ELF files.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390}

// otherSystems are the beginnings of programs that no Linux runs.
var otherSystems = []struct{ magic, what string }{
	{"\xcf\xfa\xed\xfe", "macOS"}, {"\xce\xfa\xed\xfe", "macOS"}, {"\xca\xfe\xba\xbe", "macOS"}, {"MZ", "Windows"},
}

// programs looks whether the programs at the root, and native modules, are for the nodes' processor and system.
func (c *check) programs() {
	c.files(func(f recipe.File) bool {
		module := hasSuffix(f.Path, ".node", ".so")
		if module || f.Exec && !strings.Contains(f.Path, "/") {
			c.program(f, module)
		}
		return !c.late("programs")
	})
}

func (c *check) program(f recipe.File, module bool) {
	head := c.read(f.Path, 4096)
	complain := c.fail
	if module && c.inLibraries(f.Path) {
		complain = c.warn // libraries carry modules for many systems and load the one that fits
	}
	for _, o := range otherSystems {
		if bytes.HasPrefix(head, []byte(o.magic)) && !hasSuffix(f.Path, ".class", ".jar") {
			complain("program", "build it for linux/"+c.Architecture+" (Go: GOOS=linux GOARCH="+c.Architecture+" go build; npm or pip: install on Linux) and pack again",
				"%s is a program for %s; the nodes are Linux", quoted(f.Path), o.what)
			return
		}
	}
	if !f.ELF {
		return
	}
	machine := elf.Machine(0)
	if len(head) >= 20 {
		machine = elf.Machine(uint16(head[18]) | uint16(head[19])<<8)
	}
	if want, ok := machines[c.Architecture]; ok && machine != want && machine != elf.EM_NONE {
		complain("program", "build it for linux/"+c.Architecture+" (Go: GOOS=linux GOARCH="+c.Architecture+" go build) and pack again",
			"%s is a program for the processor %s; the nodes are %s", quoted(f.Path), strings.TrimPrefix(machine.String(), "EM_"), c.Architecture)
		return
	}
	// The name of the loader stands near the beginning. debug/elf is not made for hostile files.
	if !module && bytes.Contains(head, []byte("/lib/ld-musl")) && c.Choice.Runtime.Name == "binary" {
		c.warn("program", "link it statically, or build it on Debian or another system with glibc, or bring a Dockerfile",
			"%s is linked against musl, which the base image does not have", quoted(f.Path))
	}
}

// inLibraries reports whether a path is where other people's code is.
func (c *check) inLibraries(p string) bool { return c.Choice.InLibraries(p) }

// scripts finds scripts written on Windows: the system would look for an interpreter whose name ends in a carriage return.
func (c *check) scripts() {
	c.files(func(f recipe.File) bool {
		if !f.Exec || f.ELF || strings.Count(f.Path, "/") > 1 || c.inLibraries(f.Path) {
			return true
		}
		first, _, _ := bytes.Cut(c.read(f.Path, 256), []byte("\n"))
		if bytes.HasPrefix(first, []byte("#!")) && bytes.HasSuffix(first, []byte("\r")) {
			c.fail("line-ends", "save it with Unix line ends (dos2unix "+path.Base(f.Path)+", or git config core.autocrlf input) and pack again",
				"the script %s has Windows line ends, with which no Linux runs it", quoted(f.Path))
		}
		return !c.late("scripts")
	})
}
