package preflight_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/builder/archive"
	"github.com/dinp/dinp/builder/preflight"
	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// catalog is what the repository defines.
func catalog(t testing.TB) recipe.Catalog {
	t.Helper()
	images := os.DirFS("../../images")
	files, err := fs.Glob(images, "*/runtime.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []recipe.Runtime
	for _, file := range files {
		folder := filepath.Dir(file)
		definition, err := fs.ReadFile(images, file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := recipe.Parse(folder, definition, func(name string) ([]byte, error) { return fs.ReadFile(images, folder+"/"+name) })
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return recipe.NewCatalog(all...)
}

// unpacked packs files, opens them as a builder does, and chooses the runtime. A name with a star may be executed; a content
// that begins with an arrow is a link.
func unpacked(t testing.TB, runtime string, files map[string]string) preflight.Input {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		h := &tar.Header{Name: strings.TrimSuffix(name, "*"), Mode: 0o644, Size: int64(len(content))}
		if strings.HasSuffix(name, "*") {
			h.Mode = 0o755
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, content = tar.TypeSymlink, target, 0, ""
		}
		write(t, w.WriteHeader(h))
		_, err := w.Write([]byte(content))
		write(t, err)
	}
	write(t, w.Close())
	dir := t.TempDir()
	contents, err := archive.ExtractTar(t.Context(), &b, dir, archive.DefaultLimits())
	write(t, err)
	u := recipe.Upload{Filename: "app.tar", Format: "tar"}
	for _, f := range contents.Files {
		u.Files = append(u.Files, recipe.File(f))
	}
	choice, err := catalog(t).Detect(u, runtime)
	write(t, err)
	root, err := os.OpenRoot(dir)
	write(t, err)
	t.Cleanup(func() { root.Close() })
	return preflight.Input{Root: root, Choice: choice, Architecture: "amd64"}
}

func write(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// class is the beginning of a class file for a Java release, with the names it mentions.
func class(release int, names ...string) string {
	return "\xca\xfe\xba\xbe\x00\x00" + string([]byte{0, byte(release + 44)}) + strings.Join(names, "\x00")
}

func jar(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		write(t, err)
		_, err = f.Write([]byte(files[i+1]))
		write(t, err)
	}
	write(t, w.Close())
	return b.String()
}

// elf is the beginning of a program for a processor.
func elf(machine byte, text string) string {
	return "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00" + string([]byte{machine, 0}) + strings.Repeat("\x00", 44) + text
}

const (
	amd64    = 62
	arm64    = 183
	jakarta  = `<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee"/>`
	javaEE   = `<web-app xmlns="http://xmlns.jcp.org/xml/ns/javaee"/>`
	manifest = "Main-Class: shop.Main\n"
	// In pieces, so that nobody's search for keys finds this file.
	key = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIE\n"
)

func TestCheck_SaysWhatIsWrongAndHowToFixIt(t *testing.T) {
	for name, c := range map[string]struct {
		runtime string
		files   map[string]string
		check   string
		err     bool
		says    string
		fix     string
	}{
		"a class for a newer Java": {
			"tomcat", map[string]string{"WEB-INF/web.xml": jakarta, "WEB-INF/classes/shop/Cart.class": class(21)},
			"class-version", true, `"WEB-INF/classes/shop/Cart.class" is compiled for Java 21; runtime tomcat has Java 17`, "maven.compiler.release>17<",
		},
		"a class of a plain jar for a newer Java": {
			"java", map[string]string{"META-INF/MANIFEST.MF": manifest, "shop/Main.class": class(25)},
			"class-version", true, "compiled for Java 25", "javac --release 17",
		},
		"a library for a newer Java": {
			"tomcat", map[string]string{"WEB-INF/web.xml": jakarta, "WEB-INF/lib/new.jar": jar(t, "a/B.class", class(21), "META-INF/versions/25/a/B.class", class(25))},
			"class-version", false, "1 libraries are compiled for a newer Java", "releases of these libraries",
		},
		"Java EE, by a class": {
			"tomcat", map[string]string{"WEB-INF/web.xml": "<web-app/>", "WEB-INF/classes/A.class": class(8, "javax/servlet/http/HttpServlet")},
			"servlet", false, "written for Java EE", "Tomcat's migration tool",
		},
		"Java EE, by web.xml": {
			"tomcat", map[string]string{"WEB-INF/web.xml": javaEE}, "servlet", false, "as \"WEB-INF/web.xml\" shows", "Jakarta EE 9 or later",
		},
		"Java EE, by a library": {
			"tomcat", map[string]string{"WEB-INF/web.xml": "<web-app/>", "WEB-INF/lib/old.jar": jar(t, "a/BaseServlet.class", class(8, "javax/servlet/Filter"))},
			"servlet", false, `"WEB-INF/lib/old.jar"`, "Jakarta EE",
		},
		"both at once": {
			"tomcat", map[string]string{"WEB-INF/web.xml": jakarta, "WEB-INF/classes/A.class": class(8, "javax/servlet/Servlet"), "WEB-INF/classes/B.class": class(17, "jakarta/servlet/Servlet")},
			"servlet", false, "uses jakarta.*", "to jakarta.*",
		},
		"packages that were not packed": {
			"node", map[string]string{"package.json": `{"scripts": {"start": "node s.js"}, "dependencies": {"express": "4", "@a/b": "1"}}`, "s.js": "x", "node_modules/@a/b/index.js": "x"},
			"dependencies", true, "names 2 dependencies, and 1 of them are not in node_modules", "npm ci --omit=dev",
		},
		"libraries for another Python": {
			"python", map[string]string{"app.py": "app = 1", "vendor/fast/core.cpython-39-x86_64-linux-gnu.so": "x"},
			"dependencies", true, "1 compiled libraries are not for the cpython-311", "--python-version 3.11",
		},
		"libraries that were not packed": {
			"python", map[string]string{"app.py": "app = 1", "requirements.txt": "# web\nflask==3\n"},
			"dependencies", false, "none are in the artifact", "pip install --target vendor",
		},
		"a program for another processor": {
			"binary", map[string]string{"shop*": elf(arm64, "")}, "program", true, "for the processor AARCH64; the nodes are amd64", "GOARCH=amd64",
		},
		"a program for another system": {
			"binary", map[string]string{"Procfile": "web: ./shop", "shop*": "\xcf\xfa\xed\xfe\x07\x00"}, "program", true, "a program for macOS", "GOOS=linux",
		},
		"a program for another C library": {
			"binary", map[string]string{"shop*": elf(amd64, "/lib/ld-musl-x86_64.so.1")}, "program", false, "linked against musl", "link it statically",
		},
		"a script from Windows": {
			"binary", map[string]string{"control*": "#!/bin/sh\r\necho\r\n"}, "line-ends", true, "Windows line ends", "dos2unix control",
		},
		"a link that leads nowhere": {
			"static", map[string]string{"index.html": "x", "latest": "-> v2"}, "links", false, "1 symbolic links lead nowhere", "--dereference",
		},
		"an archive in the archive": {
			"binary", map[string]string{"Procfile": "web: sh run", "run": "x", "shop.war": "PK"}, "nested-archive", false, "1 archives lie at the root", "upload that file itself",
		},
		"a private key in a site": {
			"static", map[string]string{"index.html": "x", "tls/server.pem": key}, "credentials", true, "1 places", "dinp env APP set",
		},
		"a private key in an application": {
			"node", map[string]string{"package.json": `{"scripts": {"start": "node s.js"}}`, "s.js": "x", "server.key": key}, "credentials", false, "1 places", "dinp env APP set",
		},
		"a file of credentials": {
			"binary", map[string]string{"Procfile": "web: sh run", ".env": "PASSWORD=x"}, "credentials", false, "1 places", "as its environment",
		},
		"a token in the configuration": {
			"php", map[string]string{"index.php": "x", "config.yml": "key: AKIA" + "ABCDEFGHIJKLMNOP"}, "credentials", false, "1 places", "must be renewed",
		},
		"names that are one on Windows": {
			"static", map[string]string{"index.html": "x", "Logo.svg": "a", "logo.svg": "b"}, "names", false, "1 names differ from others only in their case", "rename one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := preflight.Check(t.Context(), unpacked(t, c.runtime, c.files))
			write(t, err)
			if len(r.Findings) != 1 {
				t.Fatalf("findings %+v, want one", r.Findings)
			}
			f := r.Findings[0]
			if f.Check != c.check || f.Error != c.err || !strings.Contains(f.Message+strings.Join(f.Evidence, " "), c.says) || !strings.Contains(f.Fix, c.fix) {
				t.Errorf("finding %+v, want %+v", f, c)
			}
			refusal := r.Refusal()
			if (refusal != nil) != c.err {
				t.Fatalf("refusal %v", refusal)
			}
			if e := model.AsError(refusal); c.err && (e.Code != model.CodePreflight || e.Next == "") {
				t.Errorf("refusal %+v", e)
			}
		})
	}
}

func TestCheck_IsSilentAboutWhatIsRight(t *testing.T) {
	for runtime, files := range map[string]map[string]string{
		"static": {"index.html": "x", "files/shop.zip": "PK", "latest": "-> index.html"},
		"binary": {"shop*": elf(amd64, "/lib64/ld-linux-x86-64.so.2")},
		"java":   {"META-INF/MANIFEST.MF": manifest, "shop/Main.class": class(17), "module-info.class": class(25), "META-INF/versions/21/shop/Main.class": class(21)},
		"tomcat": {"WEB-INF/web.xml": jakarta, "WEB-INF/classes/A.class": class(17, "jakarta/servlet/Servlet"), "WEB-INF/lib/a.jar": jar(t, "A.class", class(8, "javax/sql/DataSource"))},
		"node":   {"package.json": `{"scripts": {"start": "node s.js"}, "dependencies": {"a": "1"}}`, "s.js": "x", "node_modules/a/test/key.pem": key},
		"python": {"app.py": "app = 1", "requirements.txt": "flask", "vendor/flask/__init__.py": "x", "vendor/f.cpython-311-x86_64-linux-gnu.so": "x", "vendor/g.abi3.so": "x"},
		"php":    {"public/index.php": "x"},
	} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			r, err := preflight.Check(t.Context(), unpacked(t, runtime, files))
			if err != nil || len(r.Findings) != 0 || r.Refusal() != nil {
				t.Errorf("findings %+v, %v", r.Findings, err)
			}
		})
	}
}

func TestCheck_ComparesWithTheReleaseBefore(t *testing.T) {
	in := unpacked(t, "static", map[string]string{"index.html": "x", "old.bin": strings.Repeat("o", 1<<20), "video.mp4": strings.Repeat("v", 12<<20)})
	in.Before = &preflight.Before{Release: 40, Report: model.BuildReport{Bytes: 2 << 20, Largest: []model.FileSize{{Path: "old.bin", Bytes: 1 << 19}}}}
	in.Same = 41
	r, err := preflight.Check(t.Context(), in)
	write(t, err)
	got := map[string]string{}
	for _, f := range r.Findings {
		got[f.Check] = f.Message + " | " + strings.Join(f.Evidence, "; ") + " | " + f.Fix
	}
	for check, want := range map[string][]string{
		"growth":    {"v40 has 2.0 MiB", `"video.mp4", 12 MiB, new; "old.bin", 1.0 MiB, was 512 KiB`, "leave the files out"},
		"identical": {"identical to that of v41", "dinp rollback APP v41"},
	} {
		for _, part := range want {
			if !strings.Contains(got[check], part) {
				t.Errorf("%s says %q, which lacks %q", check, got[check], part)
			}
		}
	}
	if r.Refusal() != nil {
		t.Errorf("warnings stop the build: %v", r.Refusal())
	}
	if len(r.Largest) != 3 || r.Largest[0].Path != "video.mp4" {
		t.Errorf("largest %+v", r.Largest)
	}
}

func TestCheck_NamesTheFirstErrorAndKeepsTheOthersAsEvidence(t *testing.T) {
	in := unpacked(t, "binary", map[string]string{"Procfile": "web: ./a", "a*": elf(arm64, ""), "b*": "#!/bin/sh\r\n", ".env": "A=1"})
	r, err := preflight.Check(t.Context(), in)
	write(t, err)
	if len(r.Findings) != 3 || !r.Findings[0].Error || !r.Findings[1].Error || r.Findings[2].Error {
		t.Fatalf("findings %+v, want two errors, then a warning", r.Findings)
	}
	e := model.AsError(r.Refusal())
	if !strings.Contains(e.Message, "AARCH64") || len(e.Evidence) != 1 || !strings.Contains(e.Evidence[0], "dos2unix") {
		t.Errorf("refusal %+v", e)
	}
}

func TestCheck_StopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := preflight.Check(ctx, unpacked(t, "static", map[string]string{"index.html": "x"})); err == nil {
		t.Error("it goes on")
	}
}

// The bound of a second is Check's own: it looks less closely instead of longer, and says so.
func TestCheck_StopsWhenItsTimeIsOverAndSaysSo(t *testing.T) {
	files := map[string]string{"index.html": "x"}
	for i := range 1000 {
		files[fmt.Sprintf("conf/%d/%d.yml", i%50, i)] = "key: value\n"
	}
	in := unpacked(t, "static", files)
	const look = 5 * time.Millisecond // the clock's step: one look at a file
	clock, looks := time.Now(), 0
	r, err := preflight.CheckBy(t.Context(), in, func() time.Time {
		looks++
		clock = clock.Add(look)
		return clock
	})
	write(t, err)
	cut := slices.ContainsFunc(r.Findings, func(f model.Finding) bool { return f.Check == "time" })
	// Each kind of look may find once that the time is over.
	if most := int(preflight.Time/look) + 20; looks > most || !cut {
		t.Errorf("%d looks of %v, want at most %d; says where it stopped: %v", looks, look, most, cut)
	}
}

// Whatever a file holds, the look at it ends and finds something to say, or nothing.
func FuzzCheck(f *testing.F) {
	kinds := []struct{ runtime, name, needs, content string }{
		{"tomcat", "WEB-INF/classes/A.class", "WEB-INF/web.xml", "<web-app/>"},
		{"tomcat", "WEB-INF/lib/a.jar", "WEB-INF/web.xml", "<web-app/>"},
		{"tomcat", "WEB-INF/web.xml", "index.jsp", "x"},
		{"node", "package.json", "server.js", "x"},
		{"python", "requirements.txt", "app.py", "app = 1"},
		{"binary", "run*", "Procfile", "web: ./run"},
		{"static", "a.pem", "index.html", "x"},
	}
	f.Add(uint8(0), []byte("\xca\xfe\xba\xbe\x00\x00\x00\x41"))
	f.Add(uint8(1), []byte("PK\x05\x06"))
	f.Add(uint8(2), []byte(`<web-app version="6.0"/>`))
	f.Add(uint8(3), []byte(`{"dependencies": {"a": "1"}}`))
	f.Add(uint8(4), []byte("flask==1"))
	f.Add(uint8(5), []byte("#!/bin/sh\r\n"))
	f.Add(uint8(5), []byte("\x7fELF"))
	f.Add(uint8(6), []byte("-----BEGIN PRIVATE KEY-----"))
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		if bytes.HasPrefix(content, []byte("-> ")) {
			return // unpacked would make a link of it
		}
		k := kinds[int(which)%len(kinds)]
		r, err := preflight.Check(t.Context(), unpacked(t, k.runtime, map[string]string{k.name: string(content), k.needs: k.content}))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range r.Findings {
			if found.Message == "" || found.Error && found.Fix == "" {
				t.Errorf("finding %+v", found)
			}
		}
	})
}
