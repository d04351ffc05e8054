package sbom

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

// zipOf makes an archive of name, content pairs; stored, or compressed.
func zipOf(t testing.TB, method uint16, pairs ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		f, err := w.CreateHeader(&zip.FileHeader{Name: pairs[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func pom(group, artifact, version string) []string {
	return []string{"META-INF/maven/" + group + "/" + artifact + "/pom.properties", "#made by hand\ngroupId=" + group + "\nartifactId=" + artifact + "\nversion=" + version + "\n"}
}

// scan lays files out and scans them.
func scan(t testing.TB, files map[string]string) Bill {
	t.Helper()
	dir, scratch := t.TempDir(), filepath.Join(t.TempDir(), "scratch")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var names []string
	for name, content := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	bill, err := Scan(t.Context(), root, names, scratch)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(scratch + "*"); err != nil || len(left) > 0 {
		t.Errorf("left on the disk: %v, %v", left, err)
	}
	return bill
}

func TestScan_FindsThePackagesOfEachEcosystem(t *testing.T) {
	t.Parallel()
	boot := zipOf(t, zip.Store, append(pom("com.example", "shop", "1.0"),
		"BOOT-INF/lib/log4j-core-2.14.1.jar", zipOf(t, zip.Deflate, pom("org.apache.logging.log4j", "log4j-core", "2.14.1")...),
		"BOOT-INF/lib/guava-33.0.0-jre.jar", zipOf(t, zip.Deflate, "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nBundle-Version: 33.0.0\n"))...)
	got := scan(t, map[string]string{
		"shop.jar":                                   boot,
		"WEB-INF/lib/commons-io-2.11.0.jar":          zipOf(t, zip.Deflate, pom("commons-io", "commons-io", "2.11.0")...),
		"lib/bundle.jar":                             zipOf(t, zip.Deflate, "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nBundle-SymbolicName: org.osgi.thing;singleton:=true\r\nBundle-Version: 1.2.3\r\n\r\nName: other\r\nBundle-Version: 9\r\n"),
		"node_modules/express/package.json":          `{"name":"express","version":"4.18.2"}`,
		"node_modules/@babel/c/package.json":         `{"name":"@babel/c","version":"7.0.0"}`,
		"node_modules/a/dist/cjs/package.json":       `{"name":"nobody","version":"1","type":"commonjs"}`,
		"node_modules/a/node_modules/b/package.json": `{"name":"b","version":"2.0.0"}`,
		"package.json":                               `{"name":"the-app","version":"1.0.0"}`,
		"lib/Flask-3.0.dist-info/METADATA":           "Metadata-Version: 2.1\nName: Flask_Login.Thing\nVersion: 3.0\n\nName: nobody\n",
		"lib/old.egg-info/PKG-INFO":                  "Name: old\nVersion: 0.1\n",
		"vendor/composer/installed.json":             `{"packages":[{"name":"Monolog/Monolog","version":"v2.9.1"}]}`,
		"composer.lock":                              `{"packages":[{"name":"monolog/monolog","version":"2.9.1"}]}`,
		"readme.txt":                                 "log4j-core 1.0",
	})
	want := []model.Component{
		{Ecosystem: "composer", Name: "monolog/monolog", Version: "2.9.1", Path: "."},
		{Ecosystem: "composer", Name: "monolog/monolog", Version: "2.9.1", Path: "vendor/composer"},
		{Ecosystem: "maven", Name: "com.example:shop", Version: "1.0", Path: "shop.jar"},
		{Ecosystem: "maven", Name: "commons-io:commons-io", Version: "2.11.0", Path: "WEB-INF/lib/commons-io-2.11.0.jar"},
		{Ecosystem: "maven", Name: "guava", Version: "33.0.0-jre", Path: "shop.jar!BOOT-INF/lib/guava-33.0.0-jre.jar"},
		{Ecosystem: "maven", Name: "org.apache.logging.log4j:log4j-core", Version: "2.14.1", Path: "shop.jar!BOOT-INF/lib/log4j-core-2.14.1.jar"},
		{Ecosystem: "maven", Name: "org.osgi.thing", Version: "1.2.3", Path: "lib/bundle.jar"},
		{Ecosystem: "npm", Name: "@babel/c", Version: "7.0.0", Path: "node_modules/@babel/c"},
		{Ecosystem: "npm", Name: "b", Version: "2.0.0", Path: "node_modules/a/node_modules/b"},
		{Ecosystem: "npm", Name: "express", Version: "4.18.2", Path: "node_modules/express"},
		{Ecosystem: "pypi", Name: "flask-login-thing", Version: "3.0", Path: "lib/Flask-3.0.dist-info"},
		{Ecosystem: "pypi", Name: "old", Version: "0.1", Path: "lib/old.egg-info"},
	}
	if d := cmp.Diff(want, got.Components); d != "" || got.Incomplete != "" {
		t.Errorf("incomplete %q\n%s", got.Incomplete, d)
	}
}

// The test's own program is one that Go has linked.
func TestScan_ReadsTheModulesOfAGoProgram(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	got := scan(t, map[string]string{"app": string(text)})
	if len(got.Components) == 0 || got.Components[0].Name != "stdlib" || !strings.HasPrefix(got.Components[0].Version, "1.") {
		t.Errorf("found %v", got.Components)
	}
	s := &scanner{seen: map[model.Component]bool{}}
	s.modules(&debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Path: "example.org/app", Version: "(devel)"}, Deps: []*debug.Module{
		{Path: "example.org/lib", Version: "v1.2.0"}, {Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.0.1"}},
	}}, "app")
	want := []model.Component{{Ecosystem: "golang", Name: "stdlib", Version: "1.26.0", Path: "app"}, {Ecosystem: "golang", Name: "example.org/lib", Version: "v1.2.0", Path: "app"},
		{Ecosystem: "golang", Name: "example.org/fork", Version: "v1.0.1", Path: "app"}}
	if d := cmp.Diff(want, s.bill.Components); d != "" {
		t.Error(d)
	}
}

func TestScan_CompressedArchivesInArchivesAreReadToTheStatedDepth(t *testing.T) {
	t.Parallel()
	jar := zipOf(t, zip.Deflate, pom("g", "deep", "1")...)
	for range 2 {
		jar = zipOf(t, zip.Deflate, "x.jar", jar)
	}
	if got := scan(t, map[string]string{"a.jar": jar}); !slices.ContainsFunc(got.Components, func(c model.Component) bool { return c.Name == "g:deep" && c.Path == "a.jar!x.jar!x.jar" }) || got.Incomplete != "" {
		t.Errorf("got %+v", got)
	}
	jar = zipOf(t, zip.Deflate, "x.jar", jar)
	if got := scan(t, map[string]string{"a.jar": jar}); got.Incomplete == "" {
		t.Errorf("one deeper: %+v, want it called incomplete", got)
	}
}

func TestScan_IsNotMisledByHostileMetadata(t *testing.T) {
	t.Parallel()
	many := make([]string, 0, 2*(maxEntries+1))
	for i := range maxEntries + 1 {
		many = append(many, fmt.Sprint(i), "")
	}
	got := scan(t, map[string]string{
		"a.jar":                          "no zip at all",
		"many.jar":                       zipOf(t, zip.Store, many...),
		"node_modules/x/package.json":    `{"name":"x\u0000\n\u001b[31m` + strings.Repeat("y", 1000) + `","version":"1"}`,
		"node_modules/z/package.json":    `{"name":{"a":1},"version":[]}`,
		"node_modules/w/package.json":    `{"name":"w","version":"1"` + strings.Repeat(" ", 2<<20),
		"vendor/composer/installed.json": `[[[[`,
		"x.dist-info/METADATA":           strings.Repeat("Name: a", 100_000),
	})
	if len(got.Components) != 1 || len(got.Components[0].Name) > 255 || strings.ContainsAny(got.Components[0].Name, "\x00\n\x1b") {
		t.Errorf("got %.2000v", got.Components)
	}
	if !strings.Contains(got.Incomplete, "many.jar") {
		t.Errorf("incomplete: %q", got.Incomplete)
	}
}

func FuzzScan_Jar(f *testing.F) {
	f.Add([]byte(zipOf(f, zip.Deflate, append(pom("g", "a", "1"), "x.jar", zipOf(f, zip.Store, pom("g", "b", "2")...))...)))
	f.Fuzz(func(t *testing.T, jar []byte) {
		scan(t, map[string]string{"a.jar": string(jar)})
	})
}

// What is read by its name: hostile content is skipped or read, and never ends the builder.
func FuzzScan_Metadata(f *testing.F) {
	names := []string{"node_modules/a/package.json", "a-1.dist-info/METADATA", "vendor/composer/installed.json", "server"}
	f.Add(uint8(0), []byte(`{"name": "a", "version": "1"}`))
	f.Add(uint8(1), []byte("Name: a\nVersion: 1\n\nbody"))
	f.Add(uint8(2), []byte(`{"packages": [{"name": "a/b", "version": "1"}]}`))
	f.Add(uint8(3), []byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		for _, c := range scan(t, map[string]string{names[int(which)%len(names)]: string(content)}).Components {
			if strings.ContainsAny(c.Name+c.Version, "\x00\n\x1b") || len(c.Name) > 255 {
				t.Errorf("component %q %q", c.Name, c.Version)
			}
		}
	})
}
