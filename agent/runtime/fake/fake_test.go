package fake_test

import (
	"errors"
	"testing"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/agent/runtime/runtimetest"
)

func TestEngine_Conformance(t *testing.T) {
	runtimetest.Run(t, func(t *testing.T) runtimetest.Fixture {
		e := fake.NewEngine()
		e.Program = fake.ByEnv
		e.Images = func(image string) error {
			if image == "none" {
				return errors.New("manifest unknown")
			}
			return nil
		}
		return runtimetest.Fixture{
			Runtime: e.Node("n1", "10.0.0.1"), Other: e.Node("n2", "10.0.0.1"), Image: "app", NoImage: "none",
			Foreign: func(_ *testing.T, id string) func() bool {
				e.Occupy(id)
				return func() bool {
					_, err := e.Node("", "").Inspect(t.Context(), id)
					return err == nil
				}
			},
		}
	})
}

func TestFaulty_LosesTheAnswerOfACallThatTookEffect(t *testing.T) {
	e := fake.NewEngine()
	lost := errors.New("lost")
	f := &fake.Faulty{Runtime: e.Node("n1", "10.0.0.1"), Hook: func(op fake.Op, _ string) fake.Fault {
		if op == fake.OpCreate {
			return fake.Fault{Err: lost, After: true}
		}
		return fake.Fault{}
	}}
	if err := f.EnsureImage(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Create(t.Context(), runtime.Spec{InstanceID: "i1", Image: "app"}); !errors.Is(err, lost) {
		t.Errorf("create: %v", err)
	}
	if _, err := f.Inspect(t.Context(), "i1"); err != nil {
		t.Errorf("the container was not made: %v", err)
	}
}
