package recipe

import (
	"errors"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

// files makes a list from names: a/ is a folder, *x is executable, +x is an ELF program.
func files(names ...string) []File {
	var out []File
	for _, n := range names {
		f := File{Size: 1}
		switch {
		case strings.HasSuffix(n, "/"):
			f = File{Dir: true}
			n = strings.TrimSuffix(n, "/")
		case n[0] == '*':
			f.Exec = true
		case n[0] == '+':
			f.Exec, f.ELF = true, true
		}
		f.Path = strings.TrimLeft(n, "*+")
		out = append(out, f)
	}
	return out
}

func upload(filename, format string, names ...string) Upload {
	return Upload{Filename: filename, Format: format, Files: files(names...), Count: len(names), Bytes: 1024}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	c := catalog(t)
	for _, tc := range []struct {
		name    string
		u       Upload
		runtime string
		top     string
		reason  string
	}{
		{"static", upload("a.zip", KindZip, "index.html", "css/", "css/a.css"), "static", "", "index.html at the root (3 files, 1.0 KiB)"},
		{"static in a folder", upload("a.tar.gz", KindTarGz, "site/", "site/index.html"), "static", "site/", "index.html in the top folder site"},
		{"procfile", upload("a.tar.gz", KindTarGz, "Procfile", "+app"), "binary", "", "Procfile at the root"},
		{"procfile wins over index", upload("a.tar.gz", KindTarGz, "Procfile", "index.html"), "binary", "", "Procfile"},
		{"control", upload("a.tar.gz", KindTarGz, "control", "lib/x"), "binary", "", "control at the root"},
		{"one program", upload("a.tar.gz", KindTarGz, "+app", "libx.so", "conf/a"), "binary", "", "app is the only program at the root"},
		{"one ELF among scripts", upload("a.tar.gz", KindTarGz, "*run.sh", "+app", "*stop.sh"), "binary", "", "app is the only"},
		{"libraries are no programs", upload("a.tar.gz", KindTarGz, "+app", "+libc.so.6", "+x.so"), "binary", "", "app is the only"},
		{"one program in a folder", upload("a.tar.gz", KindTarGz, "v1/", "v1/+app", "v1/conf"), "", "", ""},
		{"dockerfile wins", upload("a.tar.gz", KindTarGz, "Dockerfile", "Procfile", "index.html"), "dockerfile", "", "Dockerfile at the root"},
		{"war", upload("shop.war", KindZip, "META-INF/MANIFEST.MF", "WEB-INF/web.xml", "index.html"), "tomcat", "", "WEB-INF/web.xml at the root"},
		{"war without WEB-INF", upload("Shop.WAR", KindZip, "index.jsp"), "tomcat", "", `the file name "Shop.WAR"`},
		{"war called zip", upload("shop.zip", KindZip, "WEB-INF/web.xml"), "tomcat", "", "WEB-INF/web.xml at the root"},
		{"exploded war", upload("a.tar.gz", KindTarGz, "shop/", "shop/WEB-INF/", "shop/WEB-INF/web.xml"), "tomcat", "shop/", "in the top folder shop"},
		{"exploded war of WEB-INF alone", upload("a.tar.gz", KindTarGz, "WEB-INF/", "WEB-INF/web.xml"), "tomcat", "", "at the root"},
		{"two folders", upload("a.tar.gz", KindTarGz, "a/", "a/index.html", "b/"), "", "", ""},
		{"jar", upload("a.jar", KindZip, "META-INF/MANIFEST.MF", "A.class"), "java", "", "META-INF/MANIFEST.MF at the root"},
		{"jar with its libraries", upload("a.tar.gz", KindTarGz, "shop/", "shop/shop.jar", "shop/lib/a.jar"), "java", "shop/", "shop.jar in the top folder shop"},
		{"node", upload("a.tar.gz", KindTarGz, "package.json", "node_modules/x/index.js"), "node", "", "package.json at the root"},
		{"site with a package.json", upload("a.tar.gz", KindTarGz, "package.json", "index.html"), "static", "", "index.html"},
		{"python", upload("a.zip", KindZip, "app.py", "vendor/flask/app.py"), "python", "", "app.py at the root"},
		{"php", upload("a.zip", KindZip, "public/index.php", "src/A.php"), "php", "", "public/index.php at the root"},
		{"php in htdocs", upload("a.zip", KindZip, "htdocs/start.php"), "php", "", "htdocs/start.php at the root"},
		{"nothing known", upload("a.zip", KindZip, "readme.txt"), "", "", ""},
		{"folder called index.html", upload("a.zip", KindZip, "index.html/", "index.html/x"), "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for i := range tc.u.Files {
				tc.u.Files[i].ELF = tc.u.Files[i].ELF || strings.Contains(tc.u.Files[i].Path, "/+")
			}
			got, err := c.Detect(tc.u, "")
			if tc.runtime == "" {
				wantRefusal(t, err, model.CodeUnknownKind, "no runtime recognises")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Runtime.Name != tc.runtime || got.Top != tc.top || !strings.Contains(got.Reason, tc.reason) {
				t.Errorf("got %s top %q because %q", got.Runtime.Name, got.Top, got.Reason)
			}
		})
	}
}

func TestDetect_DropsTheTopFolder(t *testing.T) {
	t.Parallel()
	got, err := catalog(t).Detect(upload("a.tar.gz", KindTarGz, "site/", "site/index.html", "site/css/", "site/css/a.css"), "")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range got.Files {
		paths = append(paths, f.Path)
	}
	if p := strings.Join(paths, " "); p != "index.html css css/a.css" {
		t.Errorf("got %s", p)
	}
}

func TestDetect_NamesWhatElseFits(t *testing.T) {
	t.Parallel()
	got, err := catalog(t).Detect(upload("a.tar.gz", KindTarGz, "Dockerfile", "Procfile", "index.html"), "")
	if err != nil || strings.Join(got.Also, " ") != "binary static" {
		t.Errorf("also %v, %v", got.Also, err)
	}
}

func TestDetect_Asked(t *testing.T) {
	t.Parallel()
	c := catalog(t)
	for _, tc := range []struct {
		name, asked string
		u           Upload
		top, part   string
	}{
		{"static without index", "static", upload("a.zip", KindZip, "download.bin"), "", ""},
		{"static without index in a folder", "static", upload("a.zip", KindZip, "d/", "d/download.bin"), "d/", ""},
		{"static although a Procfile is there", "static", upload("a.zip", KindZip, "Procfile", "index.html"), "", ""},
		{"unknown", "cobol", upload("a.zip", KindZip, "x"), "", `there is no runtime "cobol"`},
		{"wrong kind", "static", upload("a.war", KindZip, "index.html"), "", "takes tar.gz, tar, zip; the artifact is a war"},
		{"no Dockerfile", "dockerfile", upload("a.zip", KindZip, "index.html"), "", "needs a Dockerfile"},
		{"Dockerfile in a folder", "dockerfile", upload("a.zip", KindZip, "x/", "x/Dockerfile"), "x/", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.Detect(tc.u, tc.asked)
			if tc.part != "" {
				wantRefusal(t, err, model.CodeBadRuntime, tc.part)
				return
			}
			if err != nil || got.Runtime.Name != tc.asked || got.Top != tc.top || !strings.Contains(got.Reason, "asked for") {
				t.Errorf("got %s top %q because %q, %v", got.Runtime.Name, got.Top, got.Reason, err)
			}
		})
	}
}

func TestDetect_RefusalHelps(t *testing.T) {
	t.Parallel()
	names := []string{"d/", "readme.txt"}
	for range 20 {
		names = append(names, "more")
	}
	_, err := catalog(t).Detect(upload("a.zip", KindZip, names...), "")
	var e *model.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	all := strings.Join(append(e.Evidence, e.Next), "\n")
	for _, part := range []string{`"d" (folder)`, `"readme.txt"`, "…", "static (tar.gz, tar, zip): an index.html", "--runtime NAME; known are dockerfile, tomcat, java, node, python, php, binary, static"} {
		if !strings.Contains(all, part) {
			t.Errorf("%q is missing in:\n%s", part, all)
		}
	}
}

func wantRefusal(t testing.TB, err error, code model.Code, part string) {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, part) || e.Next == "" {
		t.Errorf("got %+v, want %s with %q and a next step", err, code, part)
	}
}
