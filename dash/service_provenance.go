package dash

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/bom"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/provenance"
	"github.com/dinp/dinp/dash/policy"
)

// Provenance returns the signed statement of a build as it was signed, a DSSE envelope.
func (d *Dash) Provenance(ctx context.Context, actor model.Actor, id string) (json.RawMessage, error) {
	b, _, err := d.buildFor(ctx, actor, id, policy.ViewApp)
	if err != nil {
		return nil, err
	}
	_, text, err := d.store.BuildReport(ctx, b.ID)
	if err == nil && text == "" {
		err = noStatement(b)
	}
	return json.RawMessage(text), err
}

func noStatement(b model.Build) error {
	if b.Status != model.BuildSucceeded {
		return model.E(model.CodeNotFound, "build %s is %s; only builds that succeeded have a statement", b.ID, b.Status)
	}
	return model.E(model.CodeNotFound, "build %s has no statement: it was made before builders signed", b.ID).WithNext("deploy again; what was uploaded is still there")
}

// Signers lists the keys of the builders.
func (d *Dash) Signers(ctx context.Context) (api.Signers, error) {
	keys, err := d.store.Signers(ctx)
	return api.Signers{Items: append([]model.Signer{}, keys...)}, err
}

// VerifyBuild checks a build's statement against the keys of the builders, what the database says, and what the registry
// holds. What does not fit is told in the answer; an error means that it could not be checked.
func (d *Dash) VerifyBuild(ctx context.Context, actor model.Actor, id string) (api.Verification, error) {
	b, _, err := d.buildFor(ctx, actor, id, policy.ViewApp)
	if err != nil {
		return api.Verification{}, err
	}
	_, text, err := d.store.BuildReport(ctx, b.ID)
	if err != nil {
		return api.Verification{}, err
	}
	if text == "" {
		return api.Verification{}, noStatement(b)
	}
	signers, err := d.store.Signers(ctx)
	if err != nil {
		return api.Verification{}, err
	}
	v := verification{api.Verification{Build: b.ID, Image: b.Image, Checks: []api.Check{}}}
	s, ok := v.signature(text, signers)
	if !ok {
		return v.done(), nil
	}
	v.compare(s, b)
	if err := d.verifyImage(ctx, &v, s, b); err != nil {
		return v.done(), err
	}
	return v.done(), nil
}

// verification collects checks.
type verification struct{ api.Verification }

func (v *verification) check(name string, ok bool, format string, args ...any) {
	v.Checks = append(v.Checks, api.Check{Name: name, OK: ok, Text: fmt.Sprintf(format, args...)})
}

func (v *verification) equal(name, got, want string) {
	if got == want {
		v.check(name, true, "%s", short(want))
		return
	}
	v.check(name, false, "%s, but the statement says %s", short(got), short(want))
}

// short keeps digests readable.
func short(s string) string {
	if s == "" {
		return "nothing"
	}
	return clip(s, 80)
}

func (v *verification) done() api.Verification {
	v.OK = len(v.Checks) > 0
	for _, c := range v.Checks {
		v.OK = v.OK && c.OK
	}
	return v.Verification
}

// signature finds the builder whose key has signed.
func (v *verification) signature(text string, signers []model.Signer) (provenance.Statement, bool) {
	var e provenance.Envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		v.check("signature", false, "%v", provenance.ErrMalformed)
		return provenance.Statement{}, false
	}
	var keys []ed25519.PublicKey
	for _, k := range signers {
		if key, err := provenance.ParseKey(k.PublicKey); err == nil && provenance.KeyID(key) == k.KeyID {
			keys = append(keys, key)
		}
	}
	s, err := provenance.Verify(e, keys...)
	if err != nil {
		v.check("signature", false, "%v", err)
		return s, false
	}
	for _, k := range signers {
		if len(e.Signatures) > 0 && k.KeyID == e.Signatures[0].KeyID {
			v.KeyID, v.Signer = k.KeyID, k.Builder
		}
	}
	v.check("signature", true, "by builder %s with key %.16s…", v.Signer, v.KeyID)
	return s, true
}

// compare holds the statement against the database's row.
func (v *verification) compare(s provenance.Statement, b model.Build) {
	p := s.Predicate
	v.equal("build", b.ID, p.RunDetails.Metadata.InvocationID)
	v.equal("app", b.AppName, p.BuildDefinition.ExternalParameters.App)
	v.equal("actor", b.CreatedBy, p.BuildDefinition.ExternalParameters.Actor)
	v.equal("runtime", b.Runtime, p.BuildDefinition.InternalParameters.Runtime)
	if b.Artifact != "" {
		v.equal("artifact", b.Artifact, s.Dependency(provenance.Artifact))
	}
	subject := ""
	if len(s.Subject) == 1 {
		subject = s.Subject[0].Name + "@sha256:" + s.Subject[0].Digest["sha256"]
	}
	v.equal("image", b.Image, subject)
}

// verifyImage asks the registry for what the statement is about. The client of the registry checks that the bytes of a
// manifest have the digest they were asked by.
func (d *Dash) verifyImage(ctx context.Context, v *verification, s provenance.Statement, b model.Build) error {
	labels, err := d.artifacts.labels(ctx, b.Image)
	if model.IsKind(err, model.NotFound) {
		v.check("registry", false, "the registry does not have the image any more")
		return nil
	}
	if err != nil {
		return err
	}
	v.check("registry", true, "has the image under its digest")
	artifact := s.Dependency(provenance.Artifact)
	if artifact == "" {
		return nil
	}
	v.equal("label dinp.artifact", labels["dinp.artifact"], "sha256:"+artifact)
	if base := s.Dependency(provenance.Base); base != "" && labels["dinp.base"] != "" {
		_, digest, _ := strings.Cut(labels["dinp.base"], "@sha256:")
		v.equal("label dinp.base", digest, base)
	}
	if _, err := d.artifacts.size(ctx, artifact); model.IsKind(err, model.NotFound) {
		v.check("stored artifact", true, "is not kept any more")
	} else if err != nil {
		return err
	} else {
		v.check("stored artifact", true, "is kept under its digest")
	}
	return nil
}

// BillOfMaterials returns what a build's artifact carries, in the CycloneDX form.
func (d *Dash) BillOfMaterials(ctx context.Context, actor model.Actor, id string) (bom.Document, error) {
	b, _, err := d.buildFor(ctx, actor, id, policy.ViewApp)
	if err != nil {
		return bom.Document{}, err
	}
	scan, err := d.store.ScanOf(ctx, b.Artifact)
	if err != nil {
		return bom.Document{}, err
	}
	if scan == nil {
		return bom.Document{}, model.E(model.CodeNotFound, "what build %s carries was not looked at: it is an image by reference, has not come so far, or is older than bills of materials", b.ID).
			WithNext("deploy the artifact again")
	}
	components, err := d.store.Components(ctx, b.Artifact)
	return bom.New(b.Source(), b.Artifact, d.cfg.Version, b.CreatedAt, scan.Incomplete, components), err
}
