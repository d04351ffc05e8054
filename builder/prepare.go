package builder

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/dinp/dinp/builder/archive"
	"github.com/dinp/dinp/builder/image"
	"github.com/dinp/dinp/builder/recipe"
)

// prepare makes of the unpacked artifact what is laid into the image: most often that itself. Another tree has a root of
// its own, which the caller closes.
func (j *job) prepare(ctx context.Context, t image.Tree, c recipe.Choice, base string) (image.Tree, error) {
	if c.KeptWhole() {
		return j.whole(c)
	}
	if convert := c.Runtime.Convert; convert != nil && slices.Contains(j.traits, convert.When) {
		return j.convert(ctx, t, c, base)
	}
	return t, nil
}

// whole is the uploaded file itself. Its time is that of no machine.
func (j *job) whole(c recipe.Choice) (image.Tree, error) {
	info, err := os.Stat(j.path("artifact"))
	if err != nil {
		return image.Tree{}, err
	}
	as := c.Runtime.Whole.As
	if err := errors.Join(os.Mkdir(j.path("whole"), 0o700), os.Rename(j.path("artifact"), j.path(filepath.Join("whole", as)))); err != nil {
		return image.Tree{}, err
	}
	file := recipe.File{Path: as, Size: info.Size()}
	if _, err := hex.Decode(file.SHA256[:], []byte(j.build.Artifact)); err != nil {
		return image.Tree{}, err
	}
	root, err := os.OpenRoot(j.path("whole"))
	return image.Tree{Root: root, Files: []recipe.File{file}}, err
}

// convert lets the runtime's converter work on the tree. Its result comes from a program that has read a stranger's files:
// it is unpacked under the same rules as an upload.
func (j *job) convert(ctx context.Context, t image.Tree, c recipe.Choice, base string) (out image.Tree, err error) {
	dir := j.path("converted")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return out, err
	}
	v := image.Conversion{Build: j.build.ID, Base: c.Runtime.Base, Digest: base, Command: c.Runtime.Convert.Command}
	err = j.step(ctx, stepConvert, c.Runtime.Name, func() (err error) {
		stream, err := j.b.engine.Convert(ctx, t, v, j.log.output)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stream.Close()) }()
		contents, err := archive.ExtractTar(ctx, stream, dir, j.b.cfg.Limits)
		if err != nil {
			return err
		}
		out, err = convertedTree(dir, contents, t.Files)
		return err
	})
	return out, err
}

// convertedTree is the converter's output, which lies below one folder. Files keep the times they had: those of the
// converter's run would make every image another one.
func convertedTree(dir string, contents archive.Contents, before []recipe.File) (image.Tree, error) {
	times := map[string]int64{}
	for _, f := range before {
		times[f.Path] = f.ModTime
	}
	t := image.Tree{Top: image.ConvertedTop}
	for _, f := range contents.Files {
		if f.Path+"/" == t.Top || len(f.Path) <= len(t.Top) {
			continue
		}
		file := recipe.File(f)
		file.Path = f.Path[len(t.Top):]
		file.ModTime = times[file.Path]
		t.Files = append(t.Files, file)
	}
	root, err := os.OpenRoot(dir)
	t.Root = root
	return t, err
}
