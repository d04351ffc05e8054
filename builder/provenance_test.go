package builder

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/provenance"
)

// statement reads the statement of a build, checked by the keys in the database.
func (r *rig) statement(id string) (provenance.Statement, model.BuildReport) {
	r.t.Helper()
	report, text, err := r.store.BuildReport(r.t.Context(), id)
	must(r.t, err)
	var e provenance.Envelope
	must(r.t, json.Unmarshal([]byte(text), &e))
	signers, err := r.store.Signers(r.t.Context())
	must(r.t, err)
	var keys []ed25519.PublicKey
	for _, s := range signers {
		k, err := provenance.ParseKey(s.PublicKey)
		must(r.t, err)
		keys = append(keys, k)
	}
	s, err := provenance.Verify(e, keys...)
	must(r.t, err)
	return s, report
}

func TestProvenance_SaysWhoMadeTheImageOfWhat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b, _ := r.start()
	content := tarGz(t, "index.html", "hi", "node_modules/express/package.json", `{"name":"express","version":"4.18.2"}`)
	queued := r.queueOf("site.tar.gz", content, model.BuildOrigin{From: "10.0.0.9", Job: "https://ci/7"})
	build := r.wait(queued.ID)
	if build.Status != model.BuildSucceeded {
		t.Fatalf("%+v", build.Error)
	}
	s, report := r.statement(build.ID)
	d := s.Predicate.BuildDefinition
	want := provenance.External{App: "shop", Filename: "site.tar.gz", Actor: "somebody", From: "10.0.0.9", Job: "https://ci/7"}
	if diff := cmp.Diff(want, d.ExternalParameters); diff != "" {
		t.Error(diff)
	}
	if got := s.Subject[0].Name + "@sha256:" + s.Subject[0].Digest["sha256"]; got != build.Image {
		t.Errorf("subject %s, want %s", got, build.Image)
	}
	labels := r.config(build.Image).Labels
	if s.Dependency(provenance.Artifact) != build.Artifact || !strings.HasSuffix(labels["dinp.base"], s.Dependency(provenance.Base)) || s.Dependency(provenance.Base) == "" {
		t.Errorf("dependencies %+v, labels %v", d.ResolvedDependencies, labels)
	}
	if d.InternalParameters.Runtime != "static" || d.InternalParameters.RuntimeVersion != labels["dinp.runtime.version"] || d.InternalParameters.TemplateHash == "" {
		t.Errorf("internal parameters %+v", d.InternalParameters)
	}
	if m := s.Predicate.RunDetails.Metadata; m.InvocationID != build.ID || m.FinishedOn.Before(m.StartedOn) || s.Predicate.RunDetails.Builder.ID != b.cfg.ID {
		t.Errorf("run %+v", s.Predicate.RunDetails)
	}
	if report.Components != 1 || len(report.Phases) < 4 || report.Base == "" {
		t.Errorf("report %+v", report)
	}
	components, err := r.store.Components(t.Context(), build.Artifact)
	if err != nil || len(components) != 1 || components[0].Name != "express" {
		t.Errorf("components %v, %v", components, err)
	}
	again := r.wait(r.queue("site.tar.gz", content, "").ID)
	s, _ = r.statement(again.ID)
	if s.Predicate.BuildDefinition.InternalParameters.ReusedBuild != build.ID || s.Predicate.RunDetails.Metadata.InvocationID != again.ID {
		t.Errorf("of the image used again: %+v", s.Predicate)
	}
	r.wantLog(again.ID, "packages in the artifact, as found before: 1")
}

func TestSigner_KeepsItsKeyAndRefusesAForeignFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	first, err := openSigner(path)
	must(t, err)
	second, err := openSigner(path)
	must(t, err)
	if !first.key.Equal(second.key) {
		t.Error("another key after a restart")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	for _, bad := range []string{"", "hello", "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n"} {
		must(t, os.WriteFile(path, []byte(bad), 0o600))
		if _, err := openSigner(path); !model.IsCode(err, model.CodeBadConfig) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
