package builder

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// rebased gives the runtimes that the file names other base images: a mapping of runtime to reference. It is one file
// beside all runtimes, so that a reference is changed, reviewed and pinned in one place. It returns a warning for each
// reference that is not pinned by its digest: what such a name stands for may be another image tomorrow.
func rebased(runtimes []recipe.Runtime, file string) (warnings []string, err error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, badBases(file, err)
	}
	var bases map[string]string
	if err := yaml.Unmarshal(content, &bases); err != nil {
		return nil, badBases(file, err)
	}
	for _, runtime := range slices.Sorted(maps.Keys(bases)) {
		ref, err := name.ParseReference(bases[runtime])
		if err != nil {
			return nil, badBases(file, err)
		}
		if _, pinned := ref.(name.Digest); !pinned {
			warnings = append(warnings, fmt.Sprintf("the base image %s of runtime %s is not pinned; pin it with: dinp base-images pin %s", bases[runtime], runtime, file))
		}
		if !rebase(runtimes, runtime, bases[runtime]) {
			return nil, badBases(file, fmt.Errorf("%q is no runtime with a base image", runtime))
		}
	}
	return warnings, nil
}

// rebase sets the base image of every definition of a runtime; false if there is none.
func rebase(runtimes []recipe.Runtime, name, base string) bool {
	found := false
	for i := range runtimes {
		if runtimes[i].Name == name && runtimes[i].Base != "" {
			runtimes[i].Base, found = base, true
		}
	}
	return found
}

func badBases(file string, err error) error {
	return model.E(model.CodeBadConfig, "builder: bases_file %s: %v", file, err).WithNext("correct it; deploy/bases.yml shows the form")
}
