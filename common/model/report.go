package model

import (
	"strings"
	"time"
)

// BuildOrigin says where a build came from; it is written once, when the build is queued, except that the URL's query is
// dropped after the download, because signed addresses carry their secret there.
type BuildOrigin struct {
	URL    string `json:"url,omitempty"`    // the artifact is fetched from there
	SHA256 string `json:"sha256,omitempty"` // that the artifact must have, hex; "" with URL: whatever comes
	From   string `json:"from,omitempty"`   // address of the client that asked for the build
	Job    string `json:"job,omitempty"`    // of the CI system, as the client named it
	Rebase string `json:"rebase,omitempty"` // ID of the rebase that asked for the build
	Sender string `json:"sender,omitempty"` // ID of the user who promises that parts in the registry make the artifact of SHA256
}

// PublicURL is the URL without its query and fragment, which may hold the secret of a signed address.
func (o BuildOrigin) PublicURL() string {
	url, _, _ := strings.Cut(o.URL, "#")
	url, _, _ = strings.Cut(url, "?")
	return url
}

// FileName is the last word of the URL's path; "" when that is none.
func (o BuildOrigin) FileName() string {
	_, path, _ := strings.Cut(o.PublicURL(), "://")
	_, path, ok := strings.Cut(path, "/")
	if !ok {
		return ""
	}
	return path[strings.LastIndex(path, "/")+1:]
}

// BuildReport is what a builder tells of a build beside its outcome.
type BuildReport struct {
	Phases         []BuildPhase `json:"phases,omitempty"`
	Base           string       `json:"base,omitempty"` // name of the base image
	BaseDigest     string       `json:"base_digest,omitempty"`
	RuntimeVersion string       `json:"runtime_version,omitempty"` // of the template
	TemplateHash   string       `json:"template_hash,omitempty"`   // of the runtime's whole definition
	Reused         string       `json:"reused,omitempty"`          // id of the build whose image was used again
	Layers         int          `json:"layers,omitempty"`          // laid over the base
	LayersReused   int          `json:"layers_reused,omitempty"`   // that the registry had already
	BytesPushed    int64        `json:"bytes_pushed,omitempty"`    // that went to the registry
	Components     int          `json:"components"`                // packages found in the artifact
	Warnings       []string     `json:"warnings,omitempty"`
	LayerList      []BuildLayer `json:"layer_list,omitempty"`
	Findings       []Finding    `json:"findings,omitempty"` // of the look at the artifact before the build
	Files          int          `json:"files,omitempty"`    // in the artifact
	Bytes          int64        `json:"bytes,omitempty"`    // of the artifact, unpacked
	Largest        []FileSize   `json:"largest,omitempty"`  // files of the artifact, largest first
}

// BuildPhase is one step of a build and how long it took.
type BuildPhase struct {
	Name string   `json:"name"`
	Took Duration `json:"took"`
}

// Signer is a builder's public key. Keys stay known after the builder has gone, so that what it signed can be checked.
type Signer struct {
	KeyID     string    `json:"key_id"`     // SHA-256 of the public key, hex
	PublicKey string    `json:"public_key"` // Ed25519, base64
	Builder   string    `json:"builder"`
	CreatedAt time.Time `json:"created_at"`
}

// BuildLayer is one layer of an image.
type BuildLayer struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`            // compressed
	Reused bool   `json:"reused,omitempty"` // as in the app's image before this one

	Digest  string `json:"digest,omitempty"`  // in the registry
	Content string `json:"content,omitempty"` // SHA-256 of what the builder laid into it: names, modes, times and bytes
}

// FileSize is a file of an artifact.
type FileSize struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Finding is something that was noticed in an artifact before its build. An error stops the build, a warning does not.
type Finding struct {
	Error    bool     `json:"error,omitempty"`
	Check    string   `json:"check"` // its stable name, such as class-version
	Message  string   `json:"message"`
	Evidence []string `json:"evidence,omitempty"`
	Fix      string   `json:"fix,omitempty"`
}
