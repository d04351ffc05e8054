package base

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// assemble writes the layer of a base image into a file in scratch.
func assemble(ctx context.Context, recipes fs.FS, runtime string, r *recipe, b *below, scratch string) (v1.Layer, error) {
	if b != nil {
		if err := b.flatten(scratch); err != nil {
			return nil, err
		}
	}
	file, err := os.Create(filepath.Join(scratch, "layer.tar.gz"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	began := time.Now().Truncate(time.Second)
	l := newLayer(file, began, b)
	if r.debian() {
		err = bootstrap(ctx, r.Packages, b, began, scratch, func(tree io.Reader) error {
			return l.addTree(tree, dropper(r.Drop), r.changes())
		})
	} else {
		err = r.addAccounts(l)
	}
	if err != nil {
		return nil, err
	}
	if r.Program != nil {
		if err := addProgram(ctx, l, recipes, runtime, r, scratch); err != nil {
			return nil, err
		}
	}
	if err := r.addOwn(l, recipes, runtime); err != nil {
		return nil, err
	}
	return l.close()
}

// accounts returns the changes that add the recipe's user to a system.
func (r *recipe) accounts() map[string]func([]byte) []byte {
	u := r.User
	adding := func(line string) func([]byte) []byte {
		return func(old []byte) []byte {
			if bytes.Contains(old, []byte(line)) {
				return old // the image below has added it
			}
			return append(old, line...)
		}
	}
	return map[string]func([]byte) []byte{
		"/etc/passwd": adding(fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", u.Name, u.UID, u.UID, u.Home)),
		"/etc/group":  adding(fmt.Sprintf("%s:x:%d:\n", u.Name, u.UID)),
	}
}

// changes returns what to change in files of Debian.
func (r *recipe) changes() map[string]func([]byte) []byte {
	all := r.accounts()
	all["/etc/ssl/certs/java/cacerts"] = stableKeystore
	return all
}

// addAccounts writes root and the recipe's user where there is no system yet, and the folder every program expects.
func (r *recipe) addAccounts(l *layerWriter) error {
	changes := r.accounts()
	first := map[string]string{"/etc/passwd": "root:x:0:0::/:/bin/sh\n", "/etc/group": "root:x:0:\n"}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		if err := l.addFile(name, 0o644, changes[name]([]byte(first[name]))); err != nil {
			return err
		}
	}
	return l.add(&tar.Header{Typeflag: tar.TypeDir, Name: "/tmp", Mode: 0o1777, ModTime: time.Unix(0, 0)}, nil)
}

func addProgram(ctx context.Context, l *layerWriter, recipes fs.FS, runtime string, r *recipe, scratch string) error {
	names, err := r.sources(recipes, runtime)
	if err != nil {
		return err
	}
	inside := slices.DeleteFunc(names, func(n string) bool { return path.Dir(n) != path.Clean(r.Program.Dir) })
	content, err := compile(ctx, recipes, runtime, scratch, inside)
	if err != nil {
		return err
	}
	return l.addFile(r.Program.To, 0o755, content)
}

// addOwn writes the folders, files and links that the recipe names.
func (r *recipe) addOwn(l *layerWriter, recipes fs.FS, runtime string) error {
	for _, d := range r.Dirs {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: d.Path, Mode: 0o755, ModTime: time.Unix(0, 0)}
		if d.Owner != "" {
			h.Uid, h.Gid = r.User.UID, r.User.UID
		}
		if err := l.add(h, nil); err != nil {
			return err
		}
	}
	for _, f := range r.Files {
		content, err := fs.ReadFile(recipes, path.Join(runtime, f.From))
		if err != nil {
			return err
		}
		mode, err := f.mode()
		if err != nil {
			return err
		}
		if err := l.addFile(f.To, mode, content); err != nil {
			return err
		}
	}
	for _, k := range r.Links {
		h := &tar.Header{Typeflag: tar.TypeSymlink, Name: k.Path, Linkname: k.Target, Mode: 0o777, ModTime: time.Unix(0, 0)}
		if err := l.add(h, nil); err != nil {
			return err
		}
	}
	return nil
}

// image puts the layer, upon those of the image below, and a config.
func image(r *recipe, runtime, key string, b *below, layer v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if b != nil {
		img = b.image
	}
	img, err := mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{CreatedBy: "dinp base image " + runtime, Created: v1.Time{Time: time.Unix(0, 0).UTC()}},
	})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", goruntime.GOARCH
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = r.config(runtime, key)
	return mutate.ConfigFile(img, config)
}

// config is what a container started from the image gets.
func (r *recipe) config(runtime, key string) v1.Config {
	c := v1.Config{
		User:       fmt.Sprintf("%d:%d", r.User.UID, r.User.UID),
		WorkingDir: r.Workdir,
		Cmd:        r.Cmd,
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels:     map[string]string{"dinp.base": runtime, "dinp.base.key": key},
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		c.Env = append(c.Env, name+"="+r.Env[name])
	}
	if r.Port > 0 {
		c.ExposedPorts = map[string]struct{}{strconv.Itoa(r.Port) + "/tcp": {}}
	}
	maps.Copy(c.Labels, r.Labels)
	return c
}
