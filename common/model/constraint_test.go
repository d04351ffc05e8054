package model

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseConstraints_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"zone", "zone=a", "zone==", "zone==a b", "colour==red", "per-node==0", "per-node==many", "label==-x", "zone==" + strings.Repeat("z", 64), "=="} {
		if got, err := ParseConstraints([]string{bad}); Code(errCode(err)) != CodeBadConstraint || got != "" {
			t.Errorf("%q gives %q and %v", bad, got, err)
		}
	}
	if _, err := ParseConstraints([]string{"zone==a", "zone==b"}); Code(errCode(err)) != CodeBadConstraint {
		t.Errorf("two zones give %v", err)
	}
	if got, err := ParseConstraints([]string{"zone==a", " per-node==2", "label==disk=ssd", "zone==a", "label==arm", "pool==big"}); err != nil || got != "label==arm label==disk=ssd pool==big zone==a per-node==2" {
		t.Errorf("got %q, %v", got, err)
	}
}

// What people write who know another platform's constraints is answered with what they meant.
func TestParseConstraints_SaysHowAGuessIsWritten(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"zone=a":     "write zone==a; dinp nodes shows what nodes have",
		"disk==ssd":  "for nodes with the label disk=ssd write label==disk=ssd; dinp nodes shows what nodes have",
		"disk=ssd":   "for nodes with the label disk=ssd write label==disk=ssd; dinp nodes shows what nodes have",
		"label=fast": "write label==fast; dinp nodes shows what nodes have",
		"fast":       "write zone==ZONE, pool==POOL, label==LABEL or per-node==N; dinp nodes shows what nodes have",
		"disk==a b":  "write zone==ZONE, pool==POOL, label==LABEL or per-node==N; dinp nodes shows what nodes have",
	} {
		if _, err := ParseConstraints([]string{given}); AsError(err).Next != want {
			t.Errorf("%s: the advice is %q, want %q", given, AsError(err).Next, want)
		}
	}
}

func errCode(err error) string {
	if e, ok := err.(*Error); ok {
		return string(e.Code)
	}
	return ""
}

func TestConstraints_ComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"", "a", "ssd", "disk=ssd", "rack/7", "x.y-z"})
		p := Placement{
			Pool: word.Draw(t, "pool"), Zone: word.Draw(t, "zone"), MaxPerNode: rapid.IntRange(0, 3).Draw(t, "per node"),
			Labels: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c=d"}), 0, 3, rapid.ID).Draw(t, "labels"),
		}
		c := p.Constraints()
		q, err := ParseConstraints(c.List())
		if err != nil || q != c {
			t.Fatalf("%q is read as %q, %v", c, q, err)
		}
		back := c.Placement()
		if slices.Sort(p.Labels); back.Pool != p.Pool || back.Zone != p.Zone || back.MaxPerNode != p.MaxPerNode || !slices.Equal(back.Labels, p.Labels) {
			t.Fatalf("%+v comes back as %+v", p, back)
		}
	})
}

func TestCheckSingleton_AllowsOne(t *testing.T) {
	t.Parallel()
	if CheckSingleton("cron", true, 1) != nil || CheckSingleton("cron", false, 9) != nil || CheckSingleton("cron", true, 2) == nil {
		t.Error("one instance is allowed, two are not")
	}
	if next := AsError(CheckSingleton("cron", true, 2)).Next; next != "dinp scale cron 1 first, or take the singleton flag back: dinp singleton cron off" {
		t.Errorf("the advice is %q", next)
	}
}

func FuzzParseConstraints(f *testing.F) {
	f.Add("zone==a label==ssd")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseConstraints(strings.Fields(s)); err == nil {
			if again, err := ParseConstraints(c.List()); err != nil || again != c {
				t.Errorf("%q is read as %q, and that as %q, %v", s, c, again, err)
			}
		}
	})
}
