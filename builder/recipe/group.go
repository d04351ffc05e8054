package recipe

import "slices"

// Group is a part of the artifact that becomes one layer.
type Group struct {
	Name  string
	Files []File
}

// applicationGroup is the name of the layer with all that no group of the runtime takes.
const applicationGroup = "application"

// Groups splits the files as the runtime's layers say: the groups in their order, then the rest. A folder goes with what
// is in it, because every layer makes the folders that it needs; one that is empty goes with the rest. Groups without
// files are left out.
func (r Runtime) Groups(files []File) []Group {
	split := make([][]File, len(r.Layers)+1)
	for _, f := range files {
		i := len(r.Layers)
		if !f.Dir {
			i = r.group(f.Path)
		}
		split[i] = append(split[i], f)
	}
	var out []Group
	for i, g := range r.Layers {
		if len(split[i]) > 0 {
			out = append(out, Group{Name: g.Name, Files: split[i]})
		}
	}
	return append(out, Group{Name: applicationGroup, Files: split[len(r.Layers)]})
}

// group is the place of the first group that takes the path, or that of the rest.
func (r Runtime) group(p string) int {
	at := slices.IndexFunc(r.Layers, func(g LayerGroup) bool {
		return slices.ContainsFunc(g.Files, func(glob string) bool { return globMatches(glob, p) })
	})
	if at < 0 {
		return len(r.Layers)
	}
	return at
}
