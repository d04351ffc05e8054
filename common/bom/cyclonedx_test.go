package bom

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestPURL_IsThatOfEachEcosystem(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]model.Component{
		"pkg:maven/org.apache.logging.log4j/log4j-core@2.17.1": {Ecosystem: "maven", Name: "org.apache.logging.log4j:log4j-core", Version: "2.17.1"},
		"pkg:maven/guava@33.0.0-jre":                           {Ecosystem: "maven", Name: "guava", Version: "33.0.0-jre"},
		"pkg:npm/%40babel/core@7.0.0":                          {Ecosystem: "npm", Name: "@babel/core", Version: "7.0.0"},
		"pkg:golang/github.com/go-chi/chi/v5@v5.0.1":           {Ecosystem: "golang", Name: "github.com/go-chi/chi/v5", Version: "v5.0.1"},
		"pkg:pypi/flask@3.0%2Blocal":                           {Ecosystem: "pypi", Name: "flask", Version: "3.0+local"},
		"pkg:composer/monolog/monolog@2.9.1":                   {Ecosystem: "composer", Name: "monolog/monolog", Version: "2.9.1"},
	} {
		if got := PURL(c); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNew_NamesAPackageOnceWithEveryPlaceItLiesIn(t *testing.T) {
	t.Parallel()
	c := model.Component{Ecosystem: "maven", Name: "g:a", Version: "1", Path: "x.jar"}
	again := c
	again.Path = "y.jar"
	got := New("shop.war", "ab", "dev", time.Unix(0, 0), "something", []model.Component{c, again})
	want := []Component{{Type: "library", BOMRef: "pkg:maven/g/a@1", Group: "g", Name: "a", Version: "1", PURL: "pkg:maven/g/a@1",
		Evidence: &Evidence{Occurrences: []Occurrence{{"x.jar"}, {"y.jar"}}}}}
	if d := cmp.Diff(want, got.Components); d != "" {
		t.Error(d)
	}
	text, err := json.Marshal(New("a", "b", "c", time.Unix(0, 0), "", nil))
	if want := `{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"metadata":{"timestamp":"1970-01-01T00:00:00Z","tools":[{"vendor":"dinp","name":"dinp","version":"c"}],"component":{"type":"application","name":"a","hashes":[{"alg":"SHA-256","content":"b"}]}},"components":[]}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
}
