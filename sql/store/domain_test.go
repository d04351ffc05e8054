package store

import (
	"fmt"
	"testing"

	"github.com/dinp/dinp/common/model"
)

func TestDomains(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a, b := newApp(t, s, "a"), newApp(t, s, "b")
		check(t, s.BindDomain(ctx, a.ID, "www.x.com", admin))
		check(t, s.BindDomain(ctx, a.ID, "www.x.com", admin)) // again is no change
		wantCode(t, s.BindDomain(ctx, b.ID, "www.x.com", admin), model.CodeDomainTaken)
		wantCode(t, s.UnbindDomain(ctx, b.ID, "www.x.com", admin), model.CodeNotFound)
		check(t, s.BindDomain(ctx, a.ID, "a.x.com", admin))
		check(t, s.BindDomain(ctx, b.ID, "b.x.com", admin))
		all, err := s.Domains(ctx, "")
		check(t, err)
		if got := ids(all, func(d model.Domain) string { return d.Host }); got != "[a.x.com b.x.com www.x.com]" {
			t.Errorf("all domains are %s", got)
		}
		check(t, s.UnbindDomain(ctx, a.ID, "a.x.com", admin))
		check(t, s.DeleteApp(ctx, a.ID, admin)) // frees www.x.com
		check(t, s.BindDomain(ctx, b.ID, "www.x.com", admin))
		_, err = s.UndeleteApp(ctx, "a", admin)
		check(t, err)
		if left, err := s.Domains(ctx, a.ID); err != nil || len(left) != 0 {
			t.Errorf("an app that came back has domains %v, %v", left, err)
		}
	})
}

func TestDomains_BoundAtOnceByMany(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		var apps []model.App
		for i := range 8 {
			apps = append(apps, newApp(t, s, fmt.Sprintf("app%d", i)))
		}
		won := 0
		for _, err := range together(len(apps), func(i int) error { return s.BindDomain(t.Context(), apps[i].ID, "x.com", admin) }) {
			if err == nil {
				won++
			} else {
				wantCode(t, err, model.CodeDomainTaken)
			}
		}
		if won != 1 {
			t.Errorf("%d apps have one domain", won)
		}
	})
}
