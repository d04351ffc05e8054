package routes

import (
	"fmt"
	"testing"

	"github.com/dinp/dinp/common/model"
)

func inst(id string, change func(*Instance)) Instance {
	i := Instance{ID: id, Addr: "10.0.0.1:1", Release: 1, Running: true, Ready: true, Assured: true}
	if change != nil {
		change(&i)
	}
	return i
}

func TestBuild(t *testing.T) {
	sick := func(i *Instance) { i.Ready = false }
	sickButRouted := func(i *Instance) { i.Ready, i.WasRouted = false, true }
	cases := map[string]struct {
		in   []Instance
		want []string
		ok   bool
	}{
		"ready ones are routed, in order":                          {[]Instance{inst("b", nil), inst("a", nil)}, []string{"a", "b"}, true},
		"running is not ready":                                     {[]Instance{inst("a", nil), inst("b", sick)}, []string{"a"}, true}, // DEFECTS 44
		"a sick one goes while others serve":                       {[]Instance{inst("a", nil), inst("b", sickButRouted)}, []string{"a"}, true},
		"all sick at once stay":                                    {[]Instance{inst("a", sickButRouted), inst("b", sickButRouted)}, []string{"a", "b"}, true}, // DEFECTS 50
		"one that never was well is not routed for want of better": {[]Instance{inst("a", sick)}, []string{}, true},
		"what does not run is not routed":                          {[]Instance{inst("a", func(i *Instance) { i.Running, i.WasRouted = false, true })}, []string{}, true},
		"without an address there is no endpoint":                  {[]Instance{inst("a", func(i *Instance) { i.Addr = "" })}, []string{}, true},
		"missing information leaves the last set in force":         {[]Instance{inst("a", nil), inst("b", func(i *Instance) { i.Assured = false })}, nil, false}, // DEFECTS 45
		"an app without instances has an empty set, not none":      {nil, []string{}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, ok := Build(model.App{Name: "shop"}, c.in, Split{})
			var got []string
			for _, e := range b.Endpoints {
				got = append(got, e.Instance)
			}
			if ok != c.ok || ok && fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, %v; want %v, %v", got, ok, c.want, c.ok)
			}
			if ok && b.Endpoints == nil {
				t.Error("the set is null in JSON")
			}
		})
	}
}

func TestBuild_CarriesTheAppsSettingsAndClosesTheAppWhenTheyCannotBeRead(t *testing.T) {
	settings := model.Routing{AllowFrom: []string{"10.0.0.0/8"}}
	b, ok := Build(model.App{Name: "shop", Routing: settings.Text()}, []Instance{inst("a", nil)}, Split{})
	if !ok || b.Maintenance || b.Settings == nil || b.Settings.AllowFrom[0] != "10.0.0.0/8" {
		t.Errorf("got %+v, %v", b, ok)
	}
	if b, _ = Build(model.App{Name: "shop"}, nil, Split{}); b.Settings != nil {
		t.Errorf("an app without settings has %+v", b.Settings)
	}
	if b, ok = Build(model.App{Name: "shop", Routing: "{"}, []Instance{inst("a", nil)}, Split{}); !ok || !b.Maintenance {
		t.Errorf("with settings nobody can read the app is open: %+v, %v", b, ok)
	}
}

func TestBuild_SaysHowLongUpgradedConnectionsMayGoOn(t *testing.T) {
	drains := func(list ...model.Duration) model.Duration {
		var in []Instance
		for n, d := range list {
			in = append(in, inst(fmt.Sprint(n), func(i *Instance) { i.Drain = d }))
		}
		b, _ := Build(model.App{Name: "shop"}, in, Split{})
		return b.Drain
	}
	if d := drains(model.DefaultDrain, model.DefaultDrain); d != 0 {
		t.Errorf("the default is written as %v", d)
	}
	if d := drains(1, 5, 3); d != 5 {
		t.Errorf("of several releases: %v", d)
	}
}
