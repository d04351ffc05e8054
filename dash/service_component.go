package dash

import (
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
)

// SearchComponents finds the packages that match a query in what the apps run that actor may see.
func (d *Dash) SearchComponents(ctx context.Context, actor model.Actor, query string) (api.ComponentSearch, error) {
	out := api.ComponentSearch{Items: []api.FoundComponent{}, Unknown: []string{}}
	q, err := parseComponentQuery(query)
	if err != nil {
		return out, err
	}
	running, err := d.store.RunningArtifacts(ctx)
	if err != nil {
		return out, err
	}
	found, err := d.store.FindComponents(ctx, q.name)
	if err != nil {
		return out, err
	}
	carries := map[string][]model.Component{} // by artifact
	for _, c := range found {
		if q.matches(c.Component) {
			carries[c.Artifact] = append(carries[c.Artifact], c.Component)
		}
	}
	scanned := map[string]bool{}
	for _, r := range running {
		if !policy.Can(actor, policy.ViewApp, r.App.TeamID) {
			continue
		}
		sha := r.Release.Spec.Artifact
		if _, asked := scanned[sha]; !asked && sha != "" {
			scan, err := d.store.ScanOf(ctx, sha)
			if err != nil {
				return out, err
			}
			scanned[sha] = scan != nil
		}
		if !scanned[sha] {
			out.Unknown = append(out.Unknown, r.App.Name+" "+r.Release.Version())
		}
		for _, c := range carries[sha] {
			out.Items = append(out.Items, api.FoundComponent{App: r.App.Name, Release: r.Release.Version(), Instances: r.Instances, Component: c})
		}
	}
	return out, nil
}
