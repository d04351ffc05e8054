package dash

import (
	"regexp"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"github.com/dinp/dinp/common/model"
)

// componentQuery is a search for packages: a name, and bounds of the version that all must hold.
type componentQuery struct {
	name   string
	bounds []versionBound
}

type versionBound struct{ op, version string }

var (
	queryForm = regexp.MustCompile(`^\s*([^\s<>=!,]+)\s*((?:[<>=!,]|\s).*)?$`)
	boundForm = regexp.MustCompile(`^\s*(<=|>=|!=|==|=|<|>)\s*([^\s<>=!,]+)\s*$`)
)

// parseComponentQuery reads log4j-core<2.17 or org.apache.logging.log4j:log4j-core >=2.0, <2.17.1.
func parseComponentQuery(q string) (componentQuery, error) {
	wrong := model.E(model.CodeBadRequest, "the search %q cannot be read", clip(q, 80)).
		WithNext("write a package's name and, if you like, bounds of its version, as in: log4j-core<2.17 or express>=4,<4.19")
	m := queryForm.FindStringSubmatch(q)
	if m == nil || len(q) > 500 {
		return componentQuery{}, wrong
	}
	out := componentQuery{name: m[1]}
	rest := strings.TrimSpace(m[2])
	if rest == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(rest, ",") {
		b := boundForm.FindStringSubmatch(part)
		if b == nil {
			return componentQuery{}, wrong
		}
		out.bounds = append(out.bounds, versionBound{b[1], b[2]})
	}
	return out, nil
}

// ecosystems are the names that the library of version orders has for ours.
var ecosystems = map[string]string{
	model.EcosystemMaven: "Maven", model.EcosystemNPM: "npm", model.EcosystemGo: "Go", model.EcosystemPyPI: "PyPI", model.EcosystemComposer: "Packagist",
}

// matches reports whether a package is one of those searched for. Each ecosystem orders versions its own way: 2.0-rc1 is
// older than 2.0 for Maven, and newer than 2.0.post1 for nobody. A version that cannot be read matches: a search for holes
// must rather show one too many.
func (q componentQuery) matches(c model.Component) bool {
	for _, b := range q.bounds {
		order, err := compareVersions(c.Ecosystem, c.Version, b.version)
		if err == nil && !holds(order, b.op) {
			return false
		}
	}
	return true
}

func compareVersions(ecosystem, a, b string) (int, error) {
	v, err := semantic.Parse(a, ecosystems[ecosystem])
	if err != nil {
		return 0, err
	}
	return v.CompareStr(b)
}

func holds(order int, op string) bool {
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "!=":
		return order != 0
	}
	return order == 0
}
