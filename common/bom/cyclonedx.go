// Package bom writes bills of materials in the CycloneDX form, so that other tools can read what dinp found in an artifact.
package bom

import (
	"net/url"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Document is a CycloneDX 1.5 bill of materials in its JSON form.
type Document struct {
	BOMFormat   string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    Metadata    `json:"metadata"`
	Components  []Component `json:"components"`
}

// Metadata tells what the bill is of.
type Metadata struct {
	Timestamp time.Time  `json:"timestamp"`
	Tools     []Tool     `json:"tools"`
	Component Component  `json:"component"`
	Property  []Property `json:"properties,omitempty"`
}

// Tool is what made the bill.
type Tool struct {
	Vendor  string `json:"vendor"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Component is one part.
type Component struct {
	Type     string    `json:"type"` // library, or application
	BOMRef   string    `json:"bom-ref,omitempty"`
	Group    string    `json:"group,omitempty"`
	Name     string    `json:"name"`
	Version  string    `json:"version,omitempty"`
	PURL     string    `json:"purl,omitempty"`
	Hashes   []Hash    `json:"hashes,omitempty"`
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Hash is a digest of a component.
type Hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// Evidence says where a component was seen.
type Evidence struct {
	Occurrences []Occurrence `json:"occurrences"`
}

// Occurrence is a place.
type Occurrence struct {
	Location string `json:"location"`
}

// Property is a name and value that the form itself does not know.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// New makes the bill of an artifact; sha256 is in hex, version the one of dinp.
func New(artifact, sha256, version string, at time.Time, incomplete string, components []model.Component) Document {
	d := Document{
		BOMFormat: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata: Metadata{
			Timestamp: at.UTC(), Tools: []Tool{{Vendor: "dinp", Name: "dinp", Version: version}},
			Component: Component{Type: "application", Name: artifact, Hashes: []Hash{{Algorithm: "SHA-256", Content: sha256}}},
		},
		Components: []Component{},
	}
	if incomplete != "" {
		d.Metadata.Property = []Property{{Name: "dinp:incomplete", Value: incomplete}}
	}
	at1 := map[string]int{} // where a package stands in the list already
	for _, c := range components {
		purl, place := PURL(c), Occurrence{Location: c.Path}
		if i, ok := at1[purl]; ok {
			d.Components[i].Evidence.Occurrences = append(d.Components[i].Evidence.Occurrences, place)
			continue
		}
		at1[purl] = len(d.Components)
		group, name := split(c)
		d.Components = append(d.Components, Component{
			Type: "library", BOMRef: purl, Group: group, Name: name, Version: c.Version, PURL: purl, Evidence: &Evidence{Occurrences: []Occurrence{place}},
		})
	}
	return d
}

// split takes a name apart where the ecosystem has groups.
func split(c model.Component) (group, name string) {
	separator := "/"
	if c.Ecosystem == model.EcosystemMaven {
		separator = ":"
	}
	if i := strings.LastIndex(c.Name, separator); i >= 0 && c.Ecosystem != model.EcosystemPyPI {
		return c.Name[:i], c.Name[i+1:]
	}
	return "", c.Name
}

// PURL is a component's package URL: pkg:maven/org.apache.logging.log4j/log4j-core@2.17.1.
func PURL(c model.Component) string {
	group, name := split(c)
	var parts []string
	if group != "" {
		for part := range strings.SplitSeq(group, "/") {
			parts = append(parts, escape(part))
		}
	}
	return "pkg:" + c.Ecosystem + "/" + strings.Join(append(parts, escape(name)), "/") + "@" + escape(c.Version)
}

// escape percent-encodes what a package URL gives a meaning to.
func escape(s string) string {
	return strings.NewReplacer("%3A", ":", "@", "%40", "+", "%2B").Replace(url.PathEscape(s))
}
