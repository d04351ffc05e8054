package builder

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

// noise is content that no compressor makes smaller, the same for the same seed.
func noise(seed string, n int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		b.Write(sum[:])
	}
	return b.String()[:n]
}

// layered are artifacts of the runtimes that lay libraries and application in layers of their own: name, content around a
// change, and the group that must stay.
var layered = []struct {
	file, stays, moves string
	files              func(change string) []string
}{
	{"shop.war", "libraries", "classes", func(change string) []string {
		return []string{"WEB-INF/web.xml", `<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee"/>`, "WEB-INF/lib/big.jar", noise("lib", 256<<10), "WEB-INF/classes/shop/Cart.class", "\xca\xfe\xba\xbe\x00\x00\x00\x3d" + change}
	}},
	{"shop.jar", "libraries", "application", func(change string) []string {
		return []string{"META-INF/MANIFEST.MF", "Main-Class: org.springframework.boot.loader.JarLauncher\nStart-Class: shop.Main\n", "BOOT-INF/lib/big.jar", noise("lib", 256<<10), "BOOT-INF/classes/shop/Main.class", "\xca\xfe\xba\xbe\x00\x00\x00\x3d" + change, "org/springframework/boot/loader/JarLauncher.class", "\xca\xfe\xba\xbe\x00\x00\x00\x34"}
	}},
	{"node.zip", "node_modules", "application", func(change string) []string {
		return []string{"package.json", `{"scripts": {"start": "node server.js"}}`, "server.js", "// " + change, "node_modules/big/index.js", noise("lib", 256<<10)}
	}},
	{"python.zip", "libraries", "application", func(change string) []string {
		return []string{"app.py", "app = None # " + change, "vendor/big/__init__.py", noise("lib", 256<<10)}
	}},
	{"php.zip", "vendor", "application", func(change string) []string {
		return []string{"public/index.php", "<?php // " + change, "vendor/big/big.php", noise("lib", 256<<10)}
	}},
}

func TestBuild_TwoBuildersMakeTheSameImage(t *testing.T) {
	t.Parallel()
	one, two := newRig(t), newRig(t) // each with its own registry, database and folder
	one.start()
	two.cfg.ID, two.cfg.Concurrency = "b2", 1
	two.start()
	for _, c := range layered {
		content := zipped(t, c.files("a")...)
		// The second has built something else of the app before, and takes layers of that again.
		two.wait(two.queue(c.file, zipped(t, c.files("b")...), "").ID)
		a, b := one.wait(one.queue(c.file, content, "").ID), two.wait(two.queue("other-"+c.file, content, "").ID)
		if a.Image == "" || a.Image != b.Image {
			t.Errorf("%s: images %q and %q, errors %+v and %+v", c.file, a.Image, b.Image, a.Error, b.Error)
		}
	}
}

func TestBuild_AChangeOfOneFileMovesKilobytes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	for _, c := range layered {
		first := r.wait(r.queue(c.file, zipped(t, c.files("before")...), "").ID)
		second := r.wait(r.queue(c.file, zipped(t, c.files("after")...), "").ID)
		if first.Status != model.BuildSucceeded || second.Status != model.BuildSucceeded || first.Image == second.Image {
			t.Fatalf("%s: %+v %+v, then %+v %+v", c.file, first, first.Error, second, second.Error)
		}
		was, _, err := r.store.BuildReport(t.Context(), first.ID)
		must(t, err)
		is, _, err := r.store.BuildReport(t.Context(), second.ID)
		must(t, err)
		if was.BytesPushed < 256<<10 || is.BytesPushed > 16<<10 || is.LayersReused == 0 || is.Layers <= is.LayersReused {
			t.Errorf("%s: pushed %d bytes, then %d, with %d of %d layers reused", c.file, was.BytesPushed, is.BytesPushed, is.LayersReused, is.Layers)
		}
		r.wantLog(second.ID, "layer "+c.stays+": ", "KiB, unchanged", "layer "+c.moves+":", "packed", "pushed ", "times: fetch ")
	}
}

// TestBuild_ARuntimeThatAnOperatorAdds is a folder with a template and its settings, and no line of Go.
func TestBuild_ARuntimeThatAnOperatorAdds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.RuntimesDir = t.TempDir()
	folder := filepath.Join(r.cfg.RuntimesDir, "lua")
	must(t, os.Mkdir(folder, 0o755))
	for name, content := range map[string]string{
		"run-lua": "#!/bin/sh\nexec lua \"$@\"\n",
		"runtime.yaml": `name: lua
description: a program in Lua
version: "5.4"
base: dinp/base/binary
accepts: [zip, tar.gz]
order: 35
detect: {files: [main.lua]}
needs: a main.lua at the root or in its one top folder
strip: true
dest: /app
workdir: /app
files: [{from: run-lua, to: /usr/local/bin/run-lua, exec: true}]
layers: [{name: rocks, files: [rocks/**]}]
command: [/usr/local/bin/run-lua, main.lua]
env: {LUA_PATH: "/app/rocks/?.lua"}
`} {
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	r.start()
	b := r.wait(r.queue("shop.zip", zipped(t, "shop/main.lua", "print(1)", "shop/rocks/http.lua", "return {}"), "").ID)
	if b.Status != model.BuildSucceeded || b.Runtime != "lua" {
		t.Fatalf("build %+v, error %+v\n%s", b, b.Error, r.log(b.ID))
	}
	r.wantLog(b.ID, "detected lua: main.lua in the top folder shop", "layer runtime:", "layer rocks:", "layer application:")
	if c := r.config(b.Image); strings.Join(c.Cmd, " ") != "/usr/local/bin/run-lua main.lua" || c.WorkingDir != "/app" || !strings.Contains(strings.Join(c.Env, " "), "LUA_PATH=/app/rocks/?.lua") {
		t.Errorf("config %+v", c)
	}
}
