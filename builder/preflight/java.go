package preflight

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/dinp/dinp/builder/recipe"
)

const (
	classOffset = 44      // class-file version minus Java release
	maxClass    = 1 << 20 // bytes of a class that are read
	maxOwn      = 2000    // classes of the application that are read
	perJar      = 3       // classes of a library that are looked at for their version
)

// javaClasses compares the classes' version with the Java that will run them.
func (c *check) javaClasses() {
	most := c.Choice.Runtime.Java
	if most == 0 {
		return
	}
	highest, where := 0, ""
	c.ownClasses(func(p string, head []byte) {
		if v := classVersion(head); v > highest {
			highest, where = v, p
		}
	})
	if highest > most {
		c.fail("class-version", fmt.Sprintf("compile for Java %d (Maven: <maven.compiler.release>%d</maven.compiler.release>; Gradle: options.release = %d; javac --release %d), or let an operator set a base image with Java %d, and upload again", most, most, most, most, highest),
			"%s is compiled for Java %d; runtime %s has Java %d", quoted(where), highest, c.Choice.Runtime.Name, most)
	}
	var newer []string
	c.jars(func(f recipe.File, z *zip.Reader) {
		if v := jarVersion(z); v > most {
			newer = append(newer, fmt.Sprintf("%s is for Java %d", f.Path, v))
		}
	})
	if len(newer) > 0 {
		w := c.warn("class-version", "use releases of these libraries that run on the Java of the runtime, or another base image",
			"%d libraries are compiled for a newer Java than the %d of runtime %s", len(newer), most, c.Choice.Runtime.Name)
		w.Evidence = examples(newer)
	}
}

// classVersion is the Java release that a class needs; 0 if it is no class.
func classVersion(head []byte) int {
	if len(head) < 8 || !bytes.HasPrefix(head, []byte("\xca\xfe\xba\xbe")) {
		return 0
	}
	return int(head[6])<<8 | int(head[7]) - classOffset
}

// versioned reports whether a class is only for newer releases, which choose it by its folder.
func versioned(p string) bool {
	return strings.HasPrefix(p, "META-INF/versions/") || path.Base(p) == "module-info.class"
}

// ownClasses calls f with the application's own classes.
func (c *check) ownClasses(f func(p string, content []byte)) {
	n := 0
	c.files(func(file recipe.File) bool {
		if !strings.HasSuffix(file.Path, ".class") || versioned(file.Path) || c.inLibraries(file.Path) {
			return true
		}
		f(file.Path, c.read(file.Path, maxClass))
		n++
		return n < maxOwn && !c.late("classes")
	})
}

// jars calls f with the artifact's libraries.
func (c *check) jars(f func(recipe.File, *zip.Reader)) {
	c.files(func(file recipe.File) bool {
		if !hasSuffix(file.Path, ".jar") {
			return true
		}
		c.jar(file, f)
		return !c.late(file.Path)
	})
}

func (c *check) jar(file recipe.File, f func(recipe.File, *zip.Reader)) {
	src := c.open(file.Path)
	if src == nil {
		return
	}
	defer src.Close()
	if !smallDirectory(src, file.Size) {
		return
	}
	// Names in it lead nowhere: nothing is written.
	if z, err := zip.NewReader(src, file.Size); err == nil || z != nil {
		f(file, z)
	}
}

// smallDirectory reads how long a zip says its directory is: zip.NewReader takes all of it into memory.
func smallDirectory(src io.ReaderAt, total int64) bool {
	const record, most, zip64 = 22, 4 << 20, 0xffffffff
	tail := make([]byte, min(total, record+1024))
	if _, err := src.ReadAt(tail, total-int64(len(tail))); err != nil && err != io.EOF {
		return false
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || at+record > len(tail) {
		return false
	}
	length := uint32(tail[at+12]) | uint32(tail[at+13])<<8 | uint32(tail[at+14])<<16 | uint32(tail[at+15])<<24
	start := uint32(tail[at+16]) | uint32(tail[at+17])<<8 | uint32(tail[at+18])<<16 | uint32(tail[at+19])<<24
	// The reader goes on past the length it was told, as long as there are entries: what lies behind start counts.
	return length != zip64 && start != zip64 && total-int64(start) <= most
}

// jarVersion is the highest Java release that the first classes of a jar need.
func jarVersion(z *zip.Reader) int {
	highest, n := 0, 0
	for _, e := range z.File {
		if !strings.HasSuffix(e.Name, ".class") || versioned(e.Name) {
			continue
		}
		highest = max(highest, classVersion(zipHead(e, 8)))
		if n++; n == perJar {
			break
		}
	}
	return highest
}

func zipHead(e *zip.File, n int64) []byte {
	r, err := e.Open()
	if err != nil {
		return nil
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, n))
	if err != nil && len(b) == 0 {
		return nil
	}
	return b
}

// renamed are the packages of Java EE that became Jakarta EE and that a web container gives.
var renamed = []string{"servlet/", "websocket/", "el/", "security/auth/message/"}

func names(content []byte, prefix string) bool {
	return slices.ContainsFunc(renamed, func(p string) bool { return bytes.Contains(content, []byte(prefix+p)) })
}

// servlets tells Java EE from Jakarta EE: by the classes, then by web.xml, then by the libraries.
func (c *check) servlets() {
	want := c.Choice.Runtime.Servlet
	if want == "" {
		return
	}
	javax, jakarta := c.servletUse()
	switch {
	case want == "jakarta" && javax != "" && jakarta == "":
		c.out.Traits = append(c.out.Traits, recipe.TraitJavax)
		c.javax(javax)
	case want == "jakarta" && javax != "" && jakarta != "":
		c.warn("servlet", "move the rest of the application, and its libraries, to jakarta.*",
			"it uses jakarta.* (%s) and javax.* (%s); what uses the latter does not work on this Tomcat", quoted(jakarta), quoted(javax))
	case want == "javax" && jakarta != "" && javax == "":
		c.fail("servlet", "choose a runtime with Tomcat 10 (dinp deploy --runtime tomcat), or build for javax.*",
			"it is written for Jakarta EE (%s); runtime %s is for Java EE", quoted(jakarta), c.Choice.Runtime.Name)
	}
}

func (c *check) javax(where string) {
	convert := c.Choice.Runtime.Convert
	if convert == nil || convert.When != recipe.TraitJavax {
		c.fail("servlet", "build it for Jakarta EE 9 or later, or choose a runtime with Tomcat 9", "it is written for Java EE (%s); runtime %s is for Jakarta EE", quoted(where), c.Choice.Runtime.Name)
		return
	}
	c.warn("servlet", convert.Says, "it is written for Java EE, as %s shows; it is converted for runtime %s", quoted(where), c.Choice.Runtime.Name)
}

// servletUse names a place that uses each of the two.
func (c *check) servletUse() (javax, jakarta string) {
	note := func(p string, content []byte) {
		if javax == "" && names(content, "javax/") {
			javax = p
		}
		if jakarta == "" && names(content, "jakarta/") {
			jakarta = p
		}
	}
	c.ownClasses(note)
	c.files(func(f recipe.File) bool {
		if strings.HasSuffix(f.Path, ".jsp") && strings.Count(f.Path, "/") < 6 {
			note(f.Path, bytes.ReplaceAll(c.read(f.Path, 64<<10), []byte("."), []byte("/")))
		}
		return javax == "" && !c.late("pages")
	})
	if javax == "" && jakarta == "" {
		javax, jakarta = webXML(c.read("WEB-INF/web.xml", 1<<20))
	}
	if javax == "" && jakarta == "" {
		c.jars(func(f recipe.File, z *zip.Reader) {
			if javax == "" && jakarta == "" {
				x, k := jarUse(z)
				if x && !k {
					javax = f.Path
				}
				if k {
					jakarta = f.Path
				}
			}
		})
	}
	return javax, jakarta
}

// webXML reads the namespace: Java EE and J2EE had their own.
func webXML(text []byte) (javax, jakarta string) {
	const where = "WEB-INF/web.xml"
	switch {
	case bytes.Contains(text, []byte("jakarta.ee/xml/ns")):
		return "", where
	case bytes.Contains(text, []byte("java.sun.com/xml/ns")), bytes.Contains(text, []byte("xmlns.jcp.org/xml/ns")), bytes.Contains(text, []byte("java.sun.com/dtd/web-app")):
		return where, ""
	}
	return "", ""
}

// jarUse looks at the classes of a library whose names suggest that they meet the container.
func jarUse(z *zip.Reader) (javax, jakarta bool) {
	const enough = 40
	n := 0
	for _, e := range z.File {
		base := path.Base(e.Name)
		if !strings.HasSuffix(base, ".class") || versioned(e.Name) ||
			!(strings.Contains(base, "Servlet") || strings.Contains(base, "Filter") || strings.Contains(base, "Initializer")) {
			continue
		}
		b := zipHead(e, maxClass)
		javax, jakarta = javax || names(b, "javax/"), jakarta || names(b, "jakarta/")
		if n++; n == enough {
			break
		}
	}
	return javax, jakarta
}
