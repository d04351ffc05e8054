package builder

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

func TestBases_AFileReplacesBaseImages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := tinyBase(t, "other")
	r.push("public/java:17", other)
	digest, err := other.Digest()
	must(t, err)
	r.cfg.BasesFile = filepath.Join(t.TempDir(), "bases.yml")
	must(t, os.WriteFile(r.cfg.BasesFile, []byte("java: "+r.registry+"/public/java:17@"+digest.String()+"\n"), 0o600))
	r.start()
	b := r.wait(r.queue("shop.jar", zipped(t, "META-INF/MANIFEST.MF", "Main-Class: shop.Main\n", "shop/Main.class", "x"), "").ID)
	if b.Status != model.BuildSucceeded {
		t.Fatalf("build %+v, error %+v\n%s", b, b.Error, r.log(b.ID))
	}
	report, _, err := r.store.BuildReport(t.Context(), b.ID)
	must(t, err)
	if report.BaseDigest != digest.String() || !strings.HasPrefix(report.Base, r.registry+"/public/java:17@") {
		t.Errorf("built on %s, %s", report.Base, report.BaseDigest)
	}
}

func TestBases_RefusesAndWarns(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bases.yml")
	for content, says := range map[string]string{
		"cobol: debian:12": `"cobol" is no runtime`, "dockerfile: debian:12": `"dockerfile" is no runtime`, "java: UPPER CASE": "could not parse", "- a": "cannot unmarshal",
	} {
		must(t, os.WriteFile(file, []byte(content), 0o600))
		cfg := Default()
		cfg.BasesFile = file
		if _, err := New(cfg, nil, os.DirFS("../images"), slog.New(slog.DiscardHandler)); !model.IsCode(err, model.CodeBadConfig) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", content, err, says)
		}
	}
	runtimes := []recipe.Runtime{{Name: "java", Base: "dinp/base/java"}}
	must(t, os.WriteFile(file, []byte("java: eclipse-temurin:17-jre"), 0o600))
	warnings, err := rebased(runtimes, file)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "base-images pin") || runtimes[0].Base != "eclipse-temurin:17-jre" {
		t.Errorf("warnings %q, %v, base %s", warnings, err, runtimes[0].Base)
	}
}

// TestBases_TheSampleIsReadable reads the file that operators start from.
func TestBases_TheSampleIsReadable(t *testing.T) {
	t.Parallel()
	all, err := loadRuntimes(os.DirFS("../images"), "")
	must(t, err)
	if _, err := rebased(all, "../deploy/bases.yml"); err != nil {
		t.Error(err)
	}
}
