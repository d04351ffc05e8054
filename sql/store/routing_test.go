package store

import (
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

func TestApp_KeepsItsRoutingSettings(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		large := model.Routing{MaxBody: 7, ErrorPage: strings.Repeat("ü", 8000)}
		set := func(generation int64, to *model.Routing) (model.App, error) {
			return s.EditApp(ctx, a.ID, generation, AppEdit{Routing: func(model.RoutingText) (model.RoutingText, error) { return to.Text(), nil }}, admin)
		}
		is, err := set(a.Generation, &large)
		check(t, err)
		_, err = set(a.Generation, nil)
		wantCode(t, err, model.CodeStale)
		w, err := s.Wish(ctx)
		check(t, err)
		if r, err := w.Apps[0].Routing.Routing(); err != nil || r.MaxBody != 7 || r.ErrorPage != large.ErrorPage || w.Apps[0].Generation != is.Generation {
			t.Errorf("the wish has %.80q, %v", w.Apps[0].Routing, err)
		}
		events, err := s.Events(ctx, EventFilter{AppID: a.ID})
		check(t, err)
		if e := events[0]; e.Verb != "app.routing" || e.Message != "routing settings changed: max_body, error_page" || strings.Contains(e.Detail, "üü") {
			t.Errorf("the event is %+v", e)
		}
		same, err := set(0, &large)
		check(t, err)
		if same.Generation != is.Generation {
			t.Error("the same settings made another generation")
		}
		_, err = s.EditApp(ctx, a.ID, 0, AppEdit{Routing: func(is model.RoutingText) (model.RoutingText, error) {
			return is, model.E(model.CodeBadRouting, "no")
		}}, admin)
		wantCode(t, err, model.CodeBadRouting)
		none, err := set(0, nil)
		check(t, err)
		if none.Routing != "" {
			t.Errorf("settings taken back are %q", none.Routing)
		}
	})
}

func TestDomains_OfOneHostBelongToOneTeam(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		mine, alsoMine := newApp(t, s, "shop"), newApp(t, s, "api")
		other, err := s.CreateApp(ctx, "other", NewID(), admin)
		check(t, err)
		for _, d := range []string{"shop.example", "*.shop.example", "long.shop.example/a/b"} {
			check(t, s.BindDomain(ctx, mine.ID, d, admin))
		}
		for _, d := range []string{"shop.example/api", "www.shop.example", "*.shop.example/x", "long.shop.example/a"} {
			wantCode(t, s.BindDomain(ctx, other.ID, d, admin), model.CodeDomainTaken)
			check(t, s.BindDomain(ctx, alsoMine.ID, d, admin))
		}
		for _, d := range []string{"myshop.example", "a.b.shop.example", "example.net/api"} {
			check(t, s.BindDomain(ctx, other.ID, d, admin))
		}
		check(t, s.UnbindDomain(ctx, alsoMine.ID, "shop.example/api", admin))
		wantCode(t, s.BindDomain(ctx, mine.ID, "*.b.shop.example", admin), model.CodeDomainTaken) // "a.b" is theirs
	})
}
