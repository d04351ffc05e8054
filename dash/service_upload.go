package dash

import (
	"context"
	"io"
	"os"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
	"github.com/dinp/dinp/dash/policy"
)

// mayUpload refuses those who could not deploy anything anyway.
func (d *Dash) mayUpload(ctx context.Context, actor model.Actor) error {
	if policy.CanSomewhere(actor, policy.Deploy) {
		return nil
	}
	return d.may(ctx, actor, policy.Deploy, "", model.App{})
}

// Upload takes an artifact in one go and stores it. size is what the sender
// announced, or below 0 when it did not.
func (d *Dash) Upload(ctx context.Context, actor model.Actor, r io.Reader, filename string, size int64) (api.Artifact, error) {
	if err := d.mayUpload(ctx, actor); err != nil {
		return api.Artifact{}, err
	}
	f, err := d.receive(r, cleanFilename(filename), size)
	if err != nil {
		return api.Artifact{}, err
	}
	defer d.discard(f)
	if err := d.keep(ctx, actor.UserID, f); err != nil {
		return api.Artifact{}, err
	}
	return api.Artifact{SHA256: f.sha256, Size: f.size}, nil
}

// receive writes a body to a temporary file; whoever gets it discards it.
func (d *Dash) receive(r io.Reader, filename string, size int64) (received, error) {
	if size > d.cfg.maxUpload() {
		return received{}, tooLarge(d.cfg.maxUpload())
	}
	tmp, err := os.CreateTemp(d.uploads.dir, "whole-*.tmp")
	if err != nil {
		return received{}, diskError(err)
	}
	f := received{path: tmp.Name()}
	in := newIntake(tmp, filename, d.cfg.maxUpload())
	_, err = io.Copy(in, r)
	f.size = in.size
	if err != nil {
		err = uploadError(err, in.size, size)
	} else {
		err = in.finish()
	}
	f.parts, f.sha256 = in.cutter.Finish()
	if cerr := tmp.Close(); err == nil && cerr != nil {
		err = diskError(cerr)
	}
	if err != nil {
		d.discard(f)
		return received{}, err
	}
	return f, nil
}

func (d *Dash) discard(f received) {
	if err := os.Remove(f.path); err != nil {
		d.log.Warn("upload not removed", "err", err)
	}
}

// Artifact tells of an artifact the platform has.
func (d *Dash) Artifact(ctx context.Context, actor model.Actor, sha string) (api.Artifact, error) {
	if err := d.mayUpload(ctx, actor); err != nil {
		return api.Artifact{}, err
	}
	size, err := d.artifact(ctx, actor, sha)
	return api.Artifact{SHA256: sha, Size: size}, err
}

// keep brings a file that a user has sent, and that came in whole, into the registry.
func (d *Dash) keep(ctx context.Context, userID string, f received) error {
	if err := d.store.BringArtifact(ctx, f.sha256, f.size, userID); err != nil {
		return err
	}
	return d.artifacts.push(ctx, f)
}

// artifact tells how large an artifact is that the actor may use; CodeNotFound when there is none, whoever else may have
// it. Whoever asks may count on it for a day.
func (d *Dash) artifact(ctx context.Context, actor model.Actor, sha string) (int64, error) {
	if actor.Role != model.Admin {
		may, err := d.store.MayUseArtifact(ctx, sha, actor.UserID, teamsThatDeploy(actor))
		if err == nil && !may {
			err = noArtifact(sha)
		}
		if err != nil {
			return 0, err
		}
	}
	if err := d.store.TouchArtifact(ctx, sha, 0); err != nil {
		return 0, err
	}
	return d.artifacts.size(ctx, sha)
}

func teamsThatDeploy(actor model.Actor) []string {
	var out []string
	for id := range actor.Teams {
		if policy.Can(actor, policy.Deploy, id) {
			out = append(out, id)
		}
	}
	return out
}

// createUpload begins an upload that can be resumed.
func (d *Dash) createUpload(ctx context.Context, actor model.Actor, u upload) (upload, error) {
	if err := d.mayUpload(ctx, actor); err != nil {
		return u, err
	}
	if u.SHA256 != "" && !sha256hex.MatchString(u.SHA256) {
		return u, model.E(model.CodeBadRequest, "the sha256 in Upload-Metadata is not 64 hex digits")
	}
	u.Owner, u.Filename = actor.UserID, cleanFilename(u.Filename)
	return d.uploads.create(u)
}

// appendUpload adds to an upload at offset. With its last byte the artifact is
// stored; the upload then has its Artifact.
func (d *Dash) appendUpload(ctx context.Context, actor model.Actor, id string, offset int64, r io.Reader, sum *checksum) (upload, int64, error) {
	unlock, err := d.uploads.lock(id)
	if err != nil {
		return upload{}, 0, err
	}
	defer unlock()
	u, at, err := d.uploads.find(id, actor.UserID)
	if err != nil {
		return u, at, err
	}
	if offset != at {
		return u, at, model.E(model.CodeConflict, "the upload has %d bytes; the body begins at %d", at, offset).WithNext("ask for the offset (HEAD) and go on from there")
	}
	if u.Artifact != "" {
		return u, at, nil
	}
	whole := parts.NewCutter()
	var seen io.Writer = whole
	if u.Parts != nil {
		seen = io.Discard // each part is summed up at the end
	}
	if at, err = d.uploads.write(u, at, r, sum, seen); err != nil {
		return u, at, err
	}
	if at == u.Length {
		if offset > 0 {
			whole = nil // it has seen a part only
		}
		u, err = d.finishUpload(ctx, u, whole)
	} else if at >= headBytes && u.Parts == nil {
		err = d.judgeUpload(u)
	}
	return u, at, err
}

// judgeUpload looks at the first bytes and drops what no builder could use.
func (d *Dash) judgeUpload(u upload) error {
	f, err := os.Open(d.uploads.part(u.ID))
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, headBytes)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	err = checkMagic(head[:n], u.Filename)
	if err != nil {
		d.giveUp(u)
	}
	return err
}

// giveUp drops an upload that cannot become an artifact.
func (d *Dash) giveUp(u upload) {
	if err := d.uploads.drop(u.ID); err != nil {
		d.log.Warn("upload not removed", "err", err)
	}
}

// finishUpload stores an upload whose bytes are all there. whole has seen them; nil: they came in several requests, and
// are read again, as are parts.
func (d *Dash) finishUpload(ctx context.Context, u upload, whole *parts.Cutter) (upload, error) {
	var err error
	if u.Parts != nil {
		err = d.finishParts(ctx, &u)
	} else {
		err = d.finishWhole(ctx, &u, whole)
	}
	if err != nil {
		return u, err // unless it was given up, the bytes stay: an empty PATCH at the end tries again
	}
	if err := d.uploads.save(u); err != nil {
		return u, err
	}
	return u, os.Remove(d.uploads.part(u.ID))
}

func (d *Dash) finishParts(ctx context.Context, u *upload) error {
	err := d.complete(ctx, *u)
	if model.IsKind(err, model.Invalid) {
		d.giveUp(*u)
	}
	if err == nil {
		u.Artifact = u.SHA256
	}
	return err
}

func (d *Dash) finishWhole(ctx context.Context, u *upload, whole *parts.Cutter) error {
	if err := d.judgeUpload(*u); err != nil {
		return err
	}
	path := d.uploads.part(u.ID)
	if whole == nil {
		whole = parts.NewCutter()
		if err := readInto(whole, path); err != nil {
			return err
		}
	}
	cut, sha := whole.Finish()
	if u.SHA256 != "" && u.SHA256 != sha {
		d.giveUp(*u)
		return model.E(model.CodeBadRequest, "the upload was damaged on its way: its sha256 is %s, announced was %s", sha, u.SHA256).WithNext("begin a new upload")
	}
	err := d.keep(ctx, u.Owner, received{path: path, sha256: sha, size: u.Length, parts: cut})
	if err == nil {
		u.Artifact = sha
	}
	return err
}

func readInto(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// dropUpload gives an upload up.
func (d *Dash) dropUpload(actor model.Actor, id string) error {
	unlock, err := d.uploads.lock(id)
	if err != nil {
		return err
	}
	defer unlock()
	if _, _, err := d.uploads.find(id, actor.UserID); err != nil {
		return err
	}
	return d.uploads.drop(id)
}
