package route

import "testing"

func TestParseHead_TellsTheBeginningOfATermFromAWholeTable(t *testing.T) {
	t.Parallel()
	at, base := Version{7, 9}, Version{6, 4}
	for name, v := range map[string]struct {
		fields map[string]string
		want   Head
		bad    bool
	}{
		"nothing":            {nil, Head{}, false},
		"whole":              {map[string]string{"epoch": "7", "seq": "9"}, Head{Version: at}, false},
		"partial":            {map[string]string{"epoch": "7", "seq": "9", "partial": "7", "base": "6.4"}, Head{Version: at, Base: base}, false},
		"on another one":     {map[string]string{"epoch": "7", "seq": "9", "partial": "7", "base": "5.2", "found": "6.4"}, Head{at, Version{5, 2}, base}, false},
		"on nothing":         {map[string]string{"epoch": "7", "seq": "9", "partial": "7", "base": "5.2", "found": "6"}, Head{}, true},
		"an older server's":  {map[string]string{"epoch": "7", "seq": "9", "partial": "6", "base": "5.4"}, Head{Version: at}, false},
		"no seq":             {map[string]string{"epoch": "7"}, Head{}, true},
		"no number":          {map[string]string{"epoch": "7", "seq": "x"}, Head{}, true},
		"base has no seq":    {map[string]string{"epoch": "7", "seq": "9", "partial": "7", "base": "6"}, Head{}, true},
		"base is missing":    {map[string]string{"epoch": "7", "seq": "9", "partial": "7"}, Head{}, true},
		"begun anew":         {map[string]string{"epoch": "7", "seq": "9", "partial": "7", "base": Nothing.String()}, Head{Version: at, Base: Nothing}, false},
		"more than a number": {map[string]string{"epoch": "7", "seq": "9.1"}, Head{}, true},
	} {
		got, err := ParseHead(v.fields)
		if got != v.want || (err != nil) != v.bad {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestHead_ForgetsWhatWasWrittenAfterItsBase(t *testing.T) {
	t.Parallel()
	h := Head{Version: Version{7, 3}, Base: Version{6, 4}}
	for v, want := range map[Version]bool{{}: false, {6, 3}: false, {6, 4}: false, {6, 5}: true, {5, 9}: false, {7, 1}: false, {7, 3}: false} {
		if h.Forgets(v) != want {
			t.Errorf("%v of %v: %v", v, h, !want)
		}
	}
	if (Head{Version: Version{7, 3}}).Forgets(Version{6, 9}) {
		t.Error("a whole table forgets")
	}
	if !h.Lacks(Version{6, 5}) || !h.Lacks(Version{7, 4}) || h.Lacks(Version{7, 3}) || h.Lacks(Version{6, 4}) {
		t.Error("it lacks what it has, or has what it lacks")
	}
}

// Leaders changed twice before either had said all of its table.
func TestHead_ABeginningOnABeginningHasWhatThatHad(t *testing.T) {
	t.Parallel()
	h := Head{Version: Version{7, 3}, Base: Version{5, 2}, Found: Version{6, 4}}
	for v, want := range map[Version]bool{{}: false, {5, 2}: false, {5, 3}: true, {6, 1}: false, {6, 4}: false, {6, 5}: true, {7, 1}: false} {
		if h.Forgets(v) != want {
			t.Errorf("%v of %v: %v", v, h, !want)
		}
	}
}

// What a table begun anew lacks may be of any version, also of its own term.
func TestHead_OfATableBegunAnewIsForThoseWhoHaveNone(t *testing.T) {
	t.Parallel()
	for _, h := range []Head{{Version: Version{7, 3}, Base: Nothing}, {Version: Version{8, 1}, Base: Nothing, Found: Version{7, 3}}} {
		for v, want := range map[Version]bool{{}: false, {1, 1}: true, {6, 4}: true, {7, 2}: true, {7, 3}: true} {
			if h.Forgets(v) != want {
				t.Errorf("%v of %v: %v", v, h, !want)
			}
		}
	}
}
