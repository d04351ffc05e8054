package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dinp/dinp/test/testenv"
)

// The apps below are real HTTP servers. Each notes "METHOD PATH LENGTH" of every
// request it understands, once it has read its body, and answers ok with the
// path in X-Path. /seen answers with the notes, and forgets them.

var realApps = []struct {
	name  string
	start func(t testing.TB) (addr string)
}{
	{"net-http", goApp},
	{"node", func(t testing.TB) string { return testenv.Server(t, "node", nodeApp) }},
	{"gunicorn", func(t testing.TB) string { return testenv.Server(t, "gunicorn", gunicornApp) }},
	{"tomcat", func(t testing.TB) string { return testenv.Server(t, "java", tomcatApp) }},
}

func goApp(t testing.TB) string {
	var mu sync.Mutex
	var seen []string
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/seen" {
			io.WriteString(w, strings.Join(seen, "\n"))
			seen = nil
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		seen = append(seen, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, n))
		w.Header().Set("X-Path", r.URL.Path)
		io.WriteString(w, "ok")
	})}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	t.Cleanup(func() { srv.Close(); wg.Wait() })
	return l.Addr().String()
}

func nodeApp(dir, addr string) ([]string, error) {
	host, port, _ := net.SplitHostPort(addr)
	const program = `
let seen = []
require("http").createServer((req, res) => {
  const path = req.url.split("?")[0]
  if (path === "/seen") {
    res.end(seen.join("\n"))
    seen = []
    return
  }
  let n = 0
  req.on("data", b => n += b.length)
  req.on("end", () => {
    seen.push(req.method + " " + path + " " + n)
    res.setHeader("X-Path", path)
    res.end("ok")
  })
}).listen(%s, %q)
`
	file := filepath.Join(dir, "app.js")
	return []string{file}, os.WriteFile(file, fmt.Appendf(nil, program, port, host), 0o600)
}

func gunicornApp(dir, addr string) ([]string, error) {
	const program = `
seen = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain"), ("X-Path", path)]
    if path == "/seen":
        body = "\n".join(seen).encode()
        seen.clear()
    else:
        n = len(environ["wsgi.input"].read())
        seen.append("%s %s %d" % (environ["REQUEST_METHOD"], path, n))
        body = b"ok"
    start_response("200 OK", headers + [("Content-Length", str(len(body)))])
    return [body]
`
	return []string{"--chdir", dir, "--bind", addr, "--workers", "1", "--worker-class", "gthread", "--threads", "4", "--keep-alive", "60", "app:app"},
		os.WriteFile(filepath.Join(dir, "app.py"), []byte(program), 0o600)
}

func tomcatApp(dir, addr string) ([]string, error) {
	host, port, _ := net.SplitHostPort(addr)
	const server = `<Server port="-1"><Service name="Catalina">
<Connector address=%q port=%q protocol="HTTP/1.1" keepAliveTimeout="60000" maxKeepAliveRequests="-1"/>
<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps"/></Engine>
</Service></Server>`
	const web = `<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
<servlet><servlet-name>jsp</servlet-name><servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class><load-on-startup>1</load-on-startup></servlet>
<servlet><servlet-name>all</servlet-name><jsp-file>/all.jsp</jsp-file><load-on-startup>2</load-on-startup></servlet>
<servlet-mapping><servlet-name>all</servlet-name><url-pattern>/*</url-pattern></servlet-mapping>
</web-app>`
	const page = `<%@ page session="false" import="java.util.*" trimDirectiveWhitespaces="true" %><%! final List<String> seen = new ArrayList<>(); %><%
synchronized (seen) {
  String path = request.getRequestURI();
  if (path.equals("/seen")) {
    out.print(String.join("\n", seen));
    seen.clear();
  } else {
    int n = request.getInputStream().readAllBytes().length;
    seen.add(request.getMethod() + " " + path + " " + n);
    response.setHeader("X-Path", path);
    out.print("ok");
  }
}
%>`
	root := filepath.Join(dir, "webapps", "ROOT")
	err := os.MkdirAll(filepath.Join(root, "WEB-INF"), 0o700)
	for _, sub := range []string{"conf", "logs", "temp", "work"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	return []string{
			"-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Dcatalina.home=/usr/share/tomcat10", "-Dcatalina.base=" + dir, "-Djava.io.tmpdir=" + filepath.Join(dir, "temp"),
			"-cp", "/usr/share/tomcat10/bin/bootstrap.jar:/usr/share/tomcat10/bin/tomcat-juli.jar", "org.apache.catalina.startup.Bootstrap", "start",
		}, errors.Join(err,
			os.WriteFile(filepath.Join(dir, "conf", "server.xml"), fmt.Appendf(nil, server, host, port), 0o600),
			os.WriteFile(filepath.Join(root, "WEB-INF", "web.xml"), []byte(web), 0o600),
			os.WriteFile(filepath.Join(root, "all.jsp"), []byte(page), 0o600))
}
