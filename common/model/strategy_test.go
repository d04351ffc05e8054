package model

import (
	"reflect"
	"testing"
	"time"
)

func TestStages_FollowStrategyAndCause(t *testing.T) {
	canary := []Stage{{10, 10, time.Minute, true}, {50, 50, time.Minute, true}}
	cases := map[string]struct {
		cause Cause
		spec  Spec
		want  []Stage
	}{
		"rolling":                      {CauseDeploy, Spec{Strategy: StrategyRolling}, nil},
		"canary":                       {CauseDeploy, Spec{Strategy: StrategyCanary}, canary},
		"canary of another env":        {CauseEnv, Spec{Strategy: StrategyCanary}, canary},
		"canary of what served":        {CauseRollback, Spec{Strategy: StrategyCanary}, nil},
		"canary of what serves":        {CauseRestart, Spec{Strategy: StrategyCanary}, nil},
		"canary with steps of its own": {CauseDeploy, Spec{Strategy: StrategyCanary, Steps: []int{5}, Observe: Duration(time.Hour)}, []Stage{{5, 5, time.Hour, true}}},
		"bluegreen":                    {CauseRollback, Spec{Strategy: StrategyBlueGreen}, []Stage{{Beside: 100}, {Beside: 100, Share: 100, For: 5 * time.Minute}}},
	}
	for name, c := range cases {
		if got := (Release{Cause: c.cause, Spec: c.spec}).Stages(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestStage_InstancesAreAtLeastOneAndAtMostAll(t *testing.T) {
	for _, c := range [][3]int{{10, 1, 1}, {10, 10, 1}, {10, 11, 2}, {50, 5, 3}, {100, 7, 7}, {10, 0, 0}} {
		if got := (Stage{Beside: c[0]}).Instances(c[1]); got != c[2] {
			t.Errorf("%d %% of %d are %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

func TestSpec_StrategySettingsMustFitIt(t *testing.T) {
	cases := map[string]struct {
		change func(*Spec)
		ok     bool
	}{
		"canary":                      {func(s *Spec) { s.Strategy = StrategyCanary }, true},
		"canary with settings":        {func(s *Spec) { s.Strategy, s.Steps, s.Observe = StrategyCanary, []int{1, 99}, Duration(time.Second) }, true},
		"bluegreen that keeps longer": {func(s *Spec) { s.Strategy, s.Observe = StrategyBlueGreen, Duration(time.Hour) }, true},
		"bluegreen with steps":        {func(s *Spec) { s.Strategy, s.Steps = StrategyBlueGreen, []int{10} }, false},
		"rolling with steps":          {func(s *Spec) { s.Steps = []int{10} }, false},
		"rolling that observes":       {func(s *Spec) { s.Observe = Duration(time.Minute) }, false},
		"steps that shrink":           {func(s *Spec) { s.Strategy, s.Steps = StrategyCanary, []int{50, 10} }, false},
		"a step to all":               {func(s *Spec) { s.Strategy, s.Steps = StrategyCanary, []int{100} }, false},
		"a step to none":              {func(s *Spec) { s.Strategy, s.Steps = StrategyCanary, []int{0} }, false},
		"too many steps":              {func(s *Spec) { s.Strategy, s.Steps = StrategyCanary, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11} }, false},
		"half a second":               {func(s *Spec) { s.Strategy, s.Observe = StrategyCanary, Duration(time.Second/2) }, false},
	}
	for name, c := range cases {
		s := Spec{}.WithDefaults()
		c.change(&s)
		if err := s.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeployRequest_AnotherStrategyLeavesTheSettingsOfTheLastBehind(t *testing.T) {
	base := Spec{Strategy: StrategyCanary, Steps: []int{5, 25}, Observe: Duration(time.Hour)}
	if s := (DeployRequest{}).Apply(base); len(s.Steps) != 2 || s.Observe != base.Observe {
		t.Errorf("the same strategy: %+v", s)
	}
	if s := (DeployRequest{Strategy: StrategyRolling}).Apply(base); s.Steps != nil || s.Observe != 0 || s.Check() != nil {
		t.Errorf("rolling: %+v, %v", s, s.Check())
	}
}
