package pki

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Role is what a part may do in the cluster; see allowed.
type Role string

// The roles.
const (
	RoleServer  Role = "server"
	RoleAgent   Role = "agent"
	RoleMonitor Role = "hm"
	RoleDash    Role = "dash"
	RoleBuilder Role = "builder"
)

// Roles lists all of them.
func Roles() []Role { return []Role{RoleServer, RoleAgent, RoleMonitor, RoleDash, RoleBuilder} }

// Identity is who a part is. It stands in the certificate as the address
// dinp://ROLE/NAME.
type Identity struct {
	Role Role
	Name string // an agent's is the id of its node
}

// String is how people read it: "agent 7f3c…".
func (i Identity) String() string { return string(i.Role) + " " + i.Name }

// The name becomes part of an address, and comes from the network.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)

// Valid reports whether i can stand in a certificate.
func (i Identity) Valid() bool {
	return slices.Contains(Roles(), i.Role) && validName.MatchString(i.Name)
}

func (i Identity) address() *url.URL {
	return &url.URL{Scheme: "dinp", Host: string(i.Role), Path: "/" + i.Name}
}

// identityOf reads who a certificate speaks of.
func identityOf(c *x509.Certificate) (Identity, error) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != "dinp" {
		return Identity{}, fmt.Errorf("the certificate names no part of a cluster")
	}
	i := Identity{Role: Role(c.URIs[0].Host), Name: strings.TrimPrefix(c.URIs[0].Path, "/")}
	if !i.Valid() {
		return Identity{}, fmt.Errorf("the certificate is of %q, which is no part of a cluster", c.URIs[0])
	}
	return i, nil
}

// Name makes a name of a text that may hold what a name cannot.
func Name(text string) string {
	return strings.Trim(badInName.ReplaceAllString(text, "-"), "-")
}

var badInName = regexp.MustCompile(`[^A-Za-z0-9_.:]+`)
