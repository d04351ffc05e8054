package model

import "strings"

// The ecosystems whose packages are found in artifacts. The words are those of package URLs, except that Go's is "golang".
const (
	EcosystemMaven    = "maven"
	EcosystemNPM      = "npm"
	EcosystemGo       = "golang"
	EcosystemPyPI     = "pypi"
	EcosystemComposer = "composer"
)

// Component is one package that an artifact carries.
type Component struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"` // as the ecosystem writes it: group:artifact, @scope/name, a module path
	Version   string `json:"version"`
	Path      string `json:"path"` // where in the artifact; "!" leads into a nested archive
}

// ShortName is the name without what stands before it, in lower case: log4j-core for org.apache.logging.log4j:log4j-core.
// People search by it.
func (c Component) ShortName() string {
	name := c.Name
	switch c.Ecosystem {
	case EcosystemMaven:
		name = name[strings.LastIndex(name, ":")+1:]
	case EcosystemNPM, EcosystemComposer:
		name = name[strings.LastIndex(name, "/")+1:]
	case EcosystemGo:
		name = goShortName(name)
	}
	return strings.ToLower(name)
}

// goShortName is a module path's last word that is not a major version: chi for github.com/go-chi/chi/v5.
func goShortName(path string) string {
	parts := strings.Split(path, "/")
	last := len(parts) - 1
	if last > 0 && len(parts[last]) > 1 && parts[last][0] == 'v' && strings.Trim(parts[last][1:], "0123456789") == "" {
		last--
	}
	return parts[last]
}
