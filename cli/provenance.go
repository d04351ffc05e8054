package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/provenance"
)

func (c *console) provenanceCommands() []*cobra.Command {
	return []*cobra.Command{
		c.command(spec{use: "show ID", short: "Show a build: phases, origin, packages", example: "  dinp build show 0b5e", args: cobra.ExactArgs(1), list: true, run: showBuild}),
		c.verifyCommand(),
		c.command(spec{use: "provenance ID", short: "Print a build's signed statement", long: "Print a build's signed statement of provenance: a DSSE envelope with an in-toto statement (SLSA v1).",
			example: "  dinp build provenance 0b5e > shop.intoto.json", args: cobra.ExactArgs(1), run: printRaw("provenance")}),
		c.command(spec{use: "sbom ID", short: "Print the bill of materials of a build's artifact", long: "Print the bill of materials of a build's artifact, as CycloneDX 1.5 in JSON.",
			example: "  dinp build sbom 0b5e > shop.cdx.json", args: cobra.ExactArgs(1), run: printRaw("sbom")}),
		c.command(spec{use: "signers", short: "List the public keys of the builders", example: "  dinp build signers", args: cobra.NoArgs, list: true, run: listSigners}),
	}
}

func (c *console) searchCommand() *cobra.Command {
	return c.command(spec{use: "search QUERY", short: "Find packages in what apps run",
		long:    "Find which running apps carry a package, by its name and, if you like, bounds of its version.\nVersions are compared as their ecosystem does it: Maven, npm, Go, PyPI, Composer.",
		example: "  dinp search 'log4j-core<2.17'\n  dinp search 'express>=4,<4.19'\n  dinp search org.springframework:spring-core", args: cobra.ExactArgs(1), list: true, run: searchComponents})
}

func searchComponents(ctx context.Context, s *session, args []string) error {
	found, err := get[api.ComponentSearch](ctx, s.api, "/components?"+url.Values{"q": {args[0]}}.Encode())
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, found)
	}
	err = show(s, found.Items, []string{"APP", "RELEASE", "INSTANCES", "PACKAGE", "VERSION", "WHERE"}, func(c api.FoundComponent) []string {
		return []string{c.App, c.Release, fmt.Sprint(c.Instances), c.Ecosystem + " " + c.Name, c.Version, c.Path}
	})
	if len(found.Unknown) > 0 {
		fmt.Fprintf(s.err, "not known of: %s\n", clean(strings.Join(found.Unknown, ", ")))
	}
	return err
}

// printRaw prints what the API has under a build, as it is.
func printRaw(what string) func(context.Context, *session, []string) error {
	return func(ctx context.Context, s *session, args []string) error {
		raw, err := get[json.RawMessage](ctx, s.api, at("builds", args[0], what))
		if err != nil {
			return err
		}
		return printJSON(s.out, raw)
	}
}

func listSigners(ctx context.Context, s *session, _ []string) error {
	keys, err := get[api.Signers](ctx, s.api, "/signers")
	if err != nil {
		return err
	}
	return show(s, keys.Items, []string{"BUILDER", "PUBLIC KEY", "SINCE"}, func(k model.Signer) []string {
		return []string{k.Builder, k.PublicKey, when(k.CreatedAt)}
	})
}

func showBuild(ctx context.Context, s *session, args []string) error {
	b, err := get[api.Build](ctx, s.api, at("builds", args[0]))
	if err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, b)
	}
	r := model.BuildReport{}
	if b.Report != nil {
		r = *b.Report
	}
	rows := []string{
		"build", b.ID, "app", b.App, "status", b.Status, "release", b.Release, "file", b.Filename, "url", b.URL, "image reference", b.ImageRef, "artifact", b.Artifact,
		"runtime", strings.TrimSpace(b.Runtime + " " + r.RuntimeVersion), "base", baseText(r), "image", b.Image, "by", b.CreatedBy, "from", b.From, "job", b.Job, "at", when(b.CreatedAt),
	}
	if b.Report != nil {
		rows = append(rows, "phases", phaseText(r.Phases), "image of build", r.Reused, "packages", fmt.Sprint(r.Components))
	}
	if r.Layers > 0 {
		rows = append(rows, "pushed", fmt.Sprintf("%s; %d of %d layers were in the registry", size(r.BytesPushed), r.LayersReused, r.Layers))
	}
	for _, l := range r.LayerList {
		rows = append(rows, "layer "+l.Name, layerFate(l))
	}
	for _, w := range r.Warnings {
		rows = append(rows, "warning", w)
	}
	for _, f := range r.Findings {
		rows = append(rows, level(f), f.Message+". "+f.Fix)
	}
	if b.Error != nil {
		rows = append(rows, "error", string(b.Error.Code)+" "+b.Error.Message)
	}
	return facts(s.out, rows...)
}

// layerFate says what became of a layer.
func layerFate(l model.BuildLayer) string {
	if l.Reused {
		return size(l.Bytes) + ", unchanged"
	}
	return size(l.Bytes) + ", packed"
}

// level is what people call a finding.
func level(f model.Finding) string {
	if f.Error {
		return "error"
	}
	return "warning"
}

func baseText(r model.BuildReport) string {
	if r.BaseDigest == "" {
		return r.Base
	}
	return r.Base + "@" + r.BaseDigest
}

func phaseText(phases []model.BuildPhase) string {
	out := make([]string, len(phases))
	for i, p := range phases {
		out[i] = p.Name + " " + time.Duration(p.Took).Round(time.Millisecond).String()
	}
	return strings.Join(out, ", ")
}

func (c *console) verifyCommand() *cobra.Command {
	var key, file string
	cmd := c.command(spec{use: "verify ID", short: "Check who built an image, and of what",
		long: "Check a build's signed statement of provenance: the signature, and that database, registry and image are what was signed.\n" +
			"With --key the signature is checked here too, by a key that does not come from the server.\nWith --artifact the file at hand is compared with the one that was built.",
		example: "  dinp build verify 0b5e\n  dinp build verify 0b5e --key builder.pub --artifact shop.war", args: cobra.ExactArgs(1), list: true,
		run: func(ctx context.Context, s *session, args []string) error {
			return verifyBuild(ctx, s, args[0], key, file)
		}})
	cmd.Flags().StringVar(&key, "key", "", "file with a builder's public key, or the key itself, as `dinp build signers` prints it")
	cmd.Flags().StringVar(&file, "artifact", "", "file that must be the one that was built")
	return cmd
}

func verifyBuild(ctx context.Context, s *session, id, key, file string) error {
	v, err := get[api.Verification](ctx, s.api, at("builds", id, "verify"))
	if err != nil {
		return err
	}
	if key != "" || file != "" {
		checks, err := s.verifyHere(ctx, v, key, file)
		if err != nil {
			return err
		}
		for _, c := range checks {
			v.Checks, v.OK = append(v.Checks, c), v.OK && c.OK
		}
	}
	if s.json {
		err = printJSON(s.out, v)
	} else {
		err = show(s, v.Checks, []string{"CHECK", "RESULT", "WHAT"}, func(c api.Check) []string {
			return []string{c.Name, map[bool]string{true: "ok", false: "WRONG"}[c.OK], c.Text}
		})
	}
	if err != nil || v.OK {
		return err
	}
	return badProvenance(v)
}

func badProvenance(v api.Verification) error {
	var wrong []string
	for _, c := range v.Checks {
		if !c.OK {
			wrong = append(wrong, c.Name+": "+c.Text)
		}
	}
	return model.E(model.CodeBadProvenance, "build %s is not what its statement says: %d of %d checks failed", v.Build, len(wrong), len(v.Checks)).
		WithEvidence(wrong...).WithNext("do not run this image; deploy the artifact again from its source, and find out who changed what")
}

// verifyHere checks without believing the server: the signature by a key at hand, the artifact by the file at hand.
func (s *session) verifyHere(ctx context.Context, v api.Verification, key, file string) ([]api.Check, error) {
	envelope, err := get[provenance.Envelope](ctx, s.api, at("builds", v.Build, "provenance"))
	if err != nil {
		return nil, err
	}
	keys, err := s.trusted(ctx, key)
	if err != nil {
		return nil, err
	}
	statement, err := provenance.Verify(envelope, keys...)
	if err != nil {
		return []api.Check{{Name: "signature, checked here", Text: err.Error()}}, nil
	}
	checks := []api.Check{{Name: "signature, checked here", OK: true, Text: "by the key at hand"}, sameImage(statement, v.Image)}
	if key == "" {
		checks = checks[1:]
	}
	if file == "" {
		return checks, nil
	}
	sum, err := fileSum(file)
	if err != nil {
		return nil, err
	}
	built := statement.Dependency(provenance.Artifact)
	c := api.Check{Name: "artifact " + file, OK: sum == built, Text: "is what was built"}
	if !c.OK {
		c.Text = fmt.Sprintf("sha256 %.16s…, built was %.16s…", sum, built)
	}
	return append(checks, c), nil
}

func sameImage(s provenance.Statement, image string) api.Check {
	for _, subject := range s.Subject {
		if subject.Name+"@sha256:"+subject.Digest["sha256"] == image {
			return api.Check{Name: "image, checked here", OK: true, Text: image}
		}
	}
	return api.Check{Name: "image, checked here", Text: "the statement is about another image than " + image}
}

// trusted are the keys to believe: the one given, else those that the server names.
func (s *session) trusted(ctx context.Context, key string) ([]ed25519.PublicKey, error) {
	texts := []string{key}
	if key == "" {
		signers, err := get[api.Signers](ctx, s.api, "/signers")
		if err != nil {
			return nil, err
		}
		texts = nil
		for _, k := range signers.Items {
			texts = append(texts, k.PublicKey)
		}
	} else if b, err := os.ReadFile(key); err == nil {
		texts = strings.Fields(string(b))
	}
	var keys []ed25519.PublicKey
	for _, text := range texts {
		k, err := provenance.ParseKey(text)
		if err != nil {
			return nil, model.E(model.CodeBadRequest, "--key: %v", err).WithNext("dinp build signers prints the keys; keep them where the platform cannot change them")
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", model.E(model.CodeBadRequest, "%v", err)
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// ciJob is the address of the CI job that runs this command, as the usual systems tell it; "" for a person.
func ciJob(getenv func(string) string) string {
	if run := getenv("GITHUB_RUN_ID"); run != "" {
		return getenv("GITHUB_SERVER_URL") + "/" + getenv("GITHUB_REPOSITORY") + "/actions/runs/" + run
	}
	for _, name := range []string{"CI_JOB_URL", "BUILD_URL", "CI_PIPELINE_URL", "CI_BUILD_LINK"} {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return ""
}
