package builder

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/provenance"
	"github.com/dinp/dinp/sql/store"
)

// signer holds the key that statements of provenance are signed with. It lies in a file of the builder and goes nowhere
// else; its public half is in the database, where it stays when the builder is gone.
type signer struct {
	key ed25519.PrivateKey
}

// openSigner reads the key at path, PKCS #8 in PEM, or makes one.
func openSigner(path string) (signer, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSigner(path)
	}
	if err != nil {
		return signer{}, badKey(path, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return signer{}, badKey(path, errors.New("it is no PEM"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return signer{}, badKey(path, err)
	}
	own, ok := key.(ed25519.PrivateKey)
	if !ok {
		return signer{}, badKey(path, errors.New("it is no Ed25519 key"))
	}
	return signer{own}, nil
}

func badKey(path string, err error) error {
	return model.E(model.CodeBadConfig, "builder: signing_key %s: %v", path, err).
		WithNext("make one with: openssl genpkey -algorithm ed25519, or remove the file and the builder makes one")
}

// newSigner makes a key and writes it by rename: a crash leaves a whole key or none.
func newSigner(path string) (signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return signer{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return signer{}, err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return signer{}, badKey(path, err)
	}
	return signer{key}, os.Rename(temp, path)
}

// publish makes the public half known.
func (s signer) publish(ctx context.Context, st *store.Store, builder string) error {
	public := s.key.Public().(ed25519.PublicKey)
	return st.AddSigner(ctx, model.Signer{KeyID: provenance.KeyID(public), PublicKey: base64.StdEncoding.EncodeToString(public), Builder: builder})
}

// sign returns the envelope of a statement, in JSON.
func (s signer) sign(statement provenance.Statement) (string, error) {
	envelope, err := provenance.Sign(statement, s.key)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(envelope)
	return string(text), err
}

// sign makes the signed statement of a build that succeeded, and sees to it that everybody knows the key.
func (j *job) sign(ctx context.Context, o store.BuildOutcome) (string, error) {
	if !j.b.published.Load() {
		if err := j.b.signer.publish(ctx, j.b.store, j.b.cfg.ID); err != nil {
			return "", err
		}
		j.b.published.Store(true)
	}
	return j.b.signer.sign(j.statement(o))
}

// statement says how a build's image came to be.
func (j *job) statement(o store.BuildOutcome) provenance.Statement {
	b, r := j.build, j.report
	name, digest, _ := strings.Cut(o.Image, "@sha256:")
	return provenance.Statement{
		Type: provenance.StatementType, PredicateType: provenance.PredicateType,
		Subject: []provenance.Resource{{Name: name, Digest: sha256Digest(digest)}},
		Predicate: provenance.Predicate{
			BuildDefinition: provenance.Definition{
				BuildType: provenance.BuildType,
				ExternalParameters: provenance.External{
					App: b.AppName, Filename: b.Filename, URL: b.Origin.PublicURL(), ImageRef: b.ImageRef, Runtime: b.Runtime,
					Actor: b.CreatedBy, From: b.Origin.From, Job: b.Origin.Job,
				},
				InternalParameters: provenance.Internal{
					Runtime: o.Runtime, RuntimeVersion: r.RuntimeVersion, TemplateHash: r.TemplateHash, ReusedBuild: r.Reused,
				},
				ResolvedDependencies: j.dependencies(digest),
			},
			RunDetails: provenance.Run{
				Builder:  provenance.Builder{ID: j.b.cfg.ID},
				Metadata: provenance.Metadata{InvocationID: b.ID, StartedOn: b.StartedAt.UTC(), FinishedOn: o.Now.UTC()},
			},
		},
	}
}

// dependencies are what went into the image.
func (j *job) dependencies(image string) []provenance.Resource {
	if j.build.Artifact == "" {
		return []provenance.Resource{{Name: provenance.Image, URI: j.build.ImageRef, Digest: sha256Digest(image)}}
	}
	out := []provenance.Resource{{
		Name: provenance.Artifact, URI: model.ArtifactRepository + ":" + model.ArtifactTag(j.build.Artifact), Digest: sha256Digest(j.build.Artifact),
	}}
	if j.report.BaseDigest != "" {
		out = append(out, provenance.Resource{Name: provenance.Base, URI: j.report.Base, Digest: sha256Digest(strings.TrimPrefix(j.report.BaseDigest, "sha256:"))})
	}
	return out
}

func sha256Digest(hex string) map[string]string { return map[string]string{"sha256": hex} }
