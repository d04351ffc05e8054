package recipe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func choice(t testing.TB, runtime string, names ...string) Choice {
	t.Helper()
	r, ok := catalog(t).Find(runtime)
	if !ok {
		t.Fatalf("no runtime %s", runtime)
	}
	return Choice{Runtime: r, Files: files(names...)}
}

func TestStart(t *testing.T) {
	t.Parallel()
	own := Choice{Runtime: Runtime{Name: "own", Command: []string{"/run"}}}
	for _, tc := range []struct {
		name     string
		c        Choice
		procfile string
		want     []string
		part     string
	}{
		{"procfile", choice(t, "binary", "Procfile", "+app"), "worker: ./w\n\n# note\nweb: ./app --port $PORT\r\n", []string{"/bin/sh", "-c", "exec ./app --port $PORT"}, ""},
		{"procfile with a byte order mark", choice(t, "binary", "Procfile"), "\ufeffweb: ./app", []string{"/bin/sh", "-c", "exec ./app"}, ""},
		{"two commands", choice(t, "binary", "Procfile"), "web: ./migrate && ./app", []string{"/bin/sh", "-c", "./migrate && ./app"}, ""},
		{"assignment", choice(t, "binary", "Procfile"), "web: A=b ./app", []string{"/bin/sh", "-c", "A=b ./app"}, ""},
		{"builtin", choice(t, "binary", "Procfile"), "web: cd x", []string{"/bin/sh", "-c", "cd x"}, ""},
		{"exec of their own", choice(t, "binary", "Procfile"), "web: exec ./app", []string{"/bin/sh", "-c", "exec ./app"}, ""},
		{"control", choice(t, "binary", "control", "+a", "+b"), "", []string{"/bin/sh", "-c", "exec ./control start"}, ""},
		{"one program", choice(t, "binary", "+app", "conf"), "", []string{"./app"}, ""},
		{"two programs", choice(t, "binary", "+a", "+b"), "", nil, "2 programs are at its root (a, b)"},
		{"no program", choice(t, "binary", "readme"), "", nil, "no program is at its root"},
		{"no web line", choice(t, "binary", "Procfile"), "worker: x", nil, "no web line"},
		{"empty web line", choice(t, "binary", "Procfile"), "web:", nil, `line 1 of the Procfile`},
		{"not a Procfile", choice(t, "binary", "Procfile"), "web: a\nhello", nil, `line 2 of the Procfile`},
		{"twice", choice(t, "binary", "Procfile"), "web: a\nweb: b", nil, "a second time"},
		{"the base's own", choice(t, "static", "index.html", "Procfile"), "", nil, ""},
		{"the runtime's own", own, "", []string{"/run"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.c.Start(map[string]string{Procfile: tc.procfile})
			if tc.part != "" {
				wantRefusal(t, err, model.CodeBadRuntime, tc.part)
				return
			}
			if err != nil || got.Reason == "" {
				t.Errorf("reason %q, %v", got.Reason, err)
			}
			if d := cmp.Diff(tc.want, got.Command); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTexts_AreWhatTheRuntimeLooksInto(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		c    Choice
		want string
	}{
		{choice(t, "binary", "Procfile", "app"), "Procfile"},
		{choice(t, "binary", "x"), ""},
		{choice(t, "static", "Procfile"), ""},
		{choice(t, "java", "META-INF/MANIFEST.MF", "A.class"), "META-INF/MANIFEST.MF"},
		{choice(t, "node", "Procfile", "package.json", "node_modules/a/package.json"), "Procfile package.json"},
		{choice(t, "python", "app.py", "shop/wsgi.py", "vendor/app.py", "lib/wsgi.py", "a/b/wsgi.py"), "app.py shop/wsgi.py"},
	} {
		if got := strings.Join(tc.c.Texts(), " "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.c.Runtime.Name, got, tc.want)
		}
	}
}

func TestStart_Runtimes(t *testing.T) {
	t.Parallel()
	const manifest = "META-INF/MANIFEST.MF"
	jar := func(c Choice) Choice { c.Kind = KindJar; return c }
	for _, tc := range []struct {
		name  string
		c     Choice
		texts map[string]string
		want  string // the words of the command, or a part of the refusal after !
	}{
		{"jar", jar(choice(t, "java", manifest, "A.class")), map[string]string{manifest: "Manifest-Version: 1.0\r\nMain-Class: a.very.long.\r\n Name\r\n\r\nMain-Class: other\r\n"}, "/usr/local/bin/dinp-java -jar app.jar"},
		{"Spring Boot jar", jar(choice(t, "java", manifest, "BOOT-INF/classes/A.class")), map[string]string{manifest: "main-class: org.springframework.boot.loader.launch.JarLauncher\n"}, "/usr/local/bin/dinp-java -cp . org.springframework.boot.loader.launch.JarLauncher"},
		{"jar without a main class", jar(choice(t, "java", manifest)), map[string]string{manifest: "Manifest-Version: 1.0\n\nMain-Class: late\n"}, "!has no Main-Class that"},
		{"jar in an archive", choice(t, "java", "shop.jar", "lib/a.jar"), nil, "/usr/local/bin/dinp-java -jar shop.jar"},
		{"two jars", choice(t, "java", "a.jar", "b.jar"), nil, "!2 .jar files at its root"},
		{"start script", choice(t, "node", "package.json"), map[string]string{packageName: `{"scripts": {"start": "next start -p $PORT"}}`}, "/bin/sh -c exec next start -p $PORT"},
		{"script of a script", choice(t, "node", "package.json"), map[string]string{packageName: `{"scripts": {"start": "npm run serve", "serve": "node x.js"}}`}, "/bin/sh -c exec node x.js"},
		{"prestart", choice(t, "node", "package.json"), map[string]string{packageName: `{"scripts": {"prestart": "node migrate.js", "start": "node x.js"}}`}, "/bin/sh -c node migrate.js && exec node x.js"},
		{"scripts in a ring", choice(t, "node", "package.json"), map[string]string{packageName: `{"scripts": {"start": "npm run a", "a": "npm start"}}`}, "!call each other"},
		{"script that is not there", choice(t, "node", "package.json"), map[string]string{packageName: `{"scripts": {"start": "yarn a"}}`}, `!runs the script "a", which is not there`},
		{"script with npm", choice(t, "node", "package.json"), map[string]string{packageName: `{"scripts": {"start": "npx serve dist"}}`}, "!runs npx, which is not in the image"},
		{"server.js", choice(t, "node", "package.json", "server.js"), map[string]string{packageName: `{"main": "lib/x.js"}`}, "node server.js"},
		{"main", choice(t, "node", "package.json", "lib/x.js"), map[string]string{packageName: `{"main": "./lib/x.js"}`}, "node ./lib/x.js"},
		{"no start", choice(t, "node", "package.json"), map[string]string{packageName: `{}`}, "!no start script in package.json"},
		{"not JSON", choice(t, "node", "package.json"), map[string]string{packageName: `{`}, "!package.json cannot be read"},
		{"Procfile of node", choice(t, "node", "package.json", "Procfile"), map[string]string{Procfile: "web: node a.js"}, "/bin/sh -c exec node a.js"},
		{"Flask", choice(t, "python", "app.py"), map[string]string{"app.py": "from flask import Flask\nshop = Flask(__name__)\n"}, "/usr/local/bin/dinp-gunicorn app:shop"},
		{"FastAPI", choice(t, "python", "main.py"), map[string]string{"main.py": "import fastapi\napi: fastapi.FastAPI = fastapi.FastAPI()\n"}, "/usr/local/bin/dinp-gunicorn --worker-class uvicorn.workers.UvicornWorker main:api"},
		{"plain WSGI", choice(t, "python", "wsgi.py"), map[string]string{"wsgi.py": "def application(environ, start_response):\n"}, "/usr/local/bin/dinp-gunicorn wsgi:application"},
		{"plain ASGI", choice(t, "python", "app.py"), map[string]string{"app.py": "async def app(scope, receive, send):\n"}, "/usr/local/bin/dinp-gunicorn --worker-class uvicorn.workers.UvicornWorker app:app"},
		{"Django", choice(t, "python", "manage.py", "shop/asgi.py", "shop/wsgi.py"), map[string]string{"shop/wsgi.py": "application = get_wsgi_application()\n", "shop/asgi.py": "application = get_asgi_application()\n"}, "/usr/local/bin/dinp-gunicorn shop.wsgi:application"},
		{"named in asgi.py", choice(t, "python", "asgi.py"), map[string]string{"asgi.py": "app = make()\n"}, "/usr/local/bin/dinp-gunicorn --worker-class uvicorn.workers.UvicornWorker asgi:app"},
		{"inside a function", choice(t, "python", "app.py"), map[string]string{"app.py": "def main():\n    app = Flask('x')\n    app == 1\n"}, "!no WSGI or ASGI application"},
		{"Procfile of python", choice(t, "python", "app.py", "Procfile"), map[string]string{Procfile: "web: python3 app.py"}, "/bin/sh -c exec python3 app.py"},
		{"php", choice(t, "php", "index.php"), nil, "/usr/local/bin/dinp-php"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.c.Start(tc.texts)
			if part, refused := strings.CutPrefix(tc.want, "!"); refused {
				wantRefusal(t, err, model.CodeBadRuntime, part)
				return
			}
			if err != nil || strings.Join(got.Command, " ") != tc.want || got.Reason == "" {
				t.Errorf("got %q because %q, %v; want %q", got.Command, got.Reason, err, tc.want)
			}
		})
	}
}

func TestGroups_LibrariesApartFromTheApplication(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		c    Choice
		want string
	}{
		{choice(t, "tomcat", "WEB-INF/", "WEB-INF/lib/", "WEB-INF/lib/a.jar", "WEB-INF/classes/A.class", "WEB-INF/web.xml"), "libraries: WEB-INF/lib/a.jar; classes: WEB-INF/classes/A.class; application: WEB-INF WEB-INF/lib WEB-INF/web.xml"},
		{choice(t, "node", "package.json", "node_modules/a/b.js"), "node_modules: node_modules/a/b.js; application: package.json"},
		{choice(t, "static", "index.html"), "application: index.html"},
		{choice(t, "java", "BOOT-INF/lib/a.jar", "org/springframework/boot/loader/L.class", "BOOT-INF/classes/A.class"), "libraries: BOOT-INF/lib/a.jar org/springframework/boot/loader/L.class; application: BOOT-INF/classes/A.class"},
	} {
		var got []string
		for _, g := range tc.c.Runtime.Groups(tc.c.Files) {
			var paths []string
			for _, f := range g.Files {
				paths = append(paths, f.Path)
			}
			got = append(got, g.Name+": "+strings.Join(paths, " "))
		}
		if s := strings.Join(got, "; "); s != tc.want {
			t.Errorf("got %s, want %s", s, tc.want)
		}
	}
}

func TestKeptWhole_APlainJarOnly(t *testing.T) {
	t.Parallel()
	plain, boot := choice(t, "java", "META-INF/MANIFEST.MF"), choice(t, "java", "BOOT-INF/lib/a.jar")
	plain.Kind, boot.Kind = KindJar, KindJar
	packed := choice(t, "java", "a.jar")
	packed.Kind = KindTarGz
	if !plain.KeptWhole() || boot.KeptWhole() || packed.KeptWhole() || choice(t, "static", "index.html").KeptWhole() {
		t.Error("kept whole is a jar that is not Spring Boot's, and nothing else")
	}
}

// FuzzStart: any text in any file that is read gives a command or a refusal, and never a word with NUL in it.
func FuzzStart(f *testing.F) {
	f.Add("Main-Class: a.B\n", `{"scripts":{"start":"npm run x"}}`, "app = Flask()\n")
	java, node, python := choice(f, "java", "META-INF/MANIFEST.MF"), choice(f, "node", "package.json"), choice(f, "python", "app.py")
	f.Fuzz(func(t *testing.T, manifest, pkg, source string) {
		for _, c := range []Choice{java, node, python} {
			s, err := c.Start(map[string]string{"META-INF/MANIFEST.MF": manifest, "package.json": pkg, "app.py": source})
			if err == nil && strings.ContainsRune(strings.Join(s.Command, " "), 0) {
				t.Fatalf("%q", s.Command)
			}
		}
	})
}

// FuzzProcfile: any text gives a command of one shell line or a refusal.
func FuzzProcfile(f *testing.F) {
	f.Add("web: ./app --port $PORT\nworker: x")
	f.Add("\ufeffweb : a\x00b")
	c := choice(f, "binary", "Procfile")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := c.Start(map[string]string{Procfile: text})
		if err != nil {
			return
		}
		if len(s.Command) != 3 || s.Command[2] == "" || strings.ContainsAny(s.Command[2], "\n\x00") {
			t.Fatalf("%q", s.Command)
		}
	})
}
