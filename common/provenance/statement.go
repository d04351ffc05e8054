// Package provenance is the signed statement of how an image came to be: an in-toto statement with a SLSA v1 provenance
// predicate, in a DSSE envelope, signed with Ed25519. Builders make it, dash and the command line check it. It is pure:
// keys and times are parameters.
//
// The forms are those of https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1 and
// https://github.com/secure-systems-lab/dsse, so that other tools can read and check what dinp signs.
package provenance

import (
	"time"
)

// The types that the envelope and the statement name.
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
	// BuildType says what the parameters mean: docs/provenance.md.
	BuildType = "https://github.com/dinp/dinp/docs/provenance.md#v1"
)

// The names of the resolved dependencies.
const (
	Artifact = "artifact" // what was uploaded or fetched
	Base     = "base"     // the image under it
	Image    = "image"    // of a deploy by reference: what was copied
)

// Statement says how a subject was made.
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     Predicate  `json:"predicate"`
}

// Resource is a thing with its digest: {"sha256": hex}.
type Resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// Predicate is SLSA's provenance, version 1.
type Predicate struct {
	BuildDefinition Definition `json:"buildDefinition"`
	RunDetails      Run        `json:"runDetails"`
}

// Definition is what the build was asked for and what it used.
type Definition struct {
	BuildType            string     `json:"buildType"`
	ExternalParameters   External   `json:"externalParameters"`
	InternalParameters   Internal   `json:"internalParameters"`
	ResolvedDependencies []Resource `json:"resolvedDependencies"`
}

// External is what a person or CI job asked for, and who and where that was.
type External struct {
	App      string `json:"app"`
	Filename string `json:"filename,omitempty"`
	URL      string `json:"url,omitempty"`      // without its query, which may be a secret
	ImageRef string `json:"imageRef,omitempty"` // of a deploy by reference
	Runtime  string `json:"runtime,omitempty"`  // as asked; "": left to detection
	Actor    string `json:"actor"`              // user name
	From     string `json:"from,omitempty"`     // address of the client
	Job      string `json:"job,omitempty"`      // of CI, as the client named it: dinp did not check it
}

// Internal is what the platform decided.
type Internal struct {
	Runtime        string `json:"runtime"`
	RuntimeVersion string `json:"runtimeVersion,omitempty"`
	TemplateHash   string `json:"templateHash,omitempty"`
	ReusedBuild    string `json:"reusedBuild,omitempty"` // the image was made by that build, from the same input
}

// Run is who built, and when.
type Run struct {
	Builder  Builder  `json:"builder"`
	Metadata Metadata `json:"metadata"`
}

// Builder names the builder.
type Builder struct {
	ID string `json:"id"`
}

// Metadata is the run's own identity and times.
type Metadata struct {
	InvocationID string    `json:"invocationId"` // the build's id
	StartedOn    time.Time `json:"startedOn"`
	FinishedOn   time.Time `json:"finishedOn"`
}

// Dependency returns the SHA-256, in hex, of the dependency of that name; "" when the statement has none.
func (s Statement) Dependency(name string) string {
	for _, d := range s.Predicate.BuildDefinition.ResolvedDependencies {
		if d.Name == name {
			return d.Digest["sha256"]
		}
	}
	return ""
}
