package model

import (
	"encoding/json"
	"maps"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func aSpec() Spec {
	return Spec{Image: "dinp/apps/shop@sha256:" + strings.Repeat("0a", 32), Env: map[string]string{"A": "1"}}.WithDefaults()
}

func TestSpec_Check(t *testing.T) {
	t.Parallel()
	if err := aSpec().Check(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for name, c := range map[string]struct {
		edit func(*Spec)
		code Code
	}{
		"no image yet":      {func(s *Spec) { s.Image = "" }, ""},
		"image by tag":      {func(s *Spec) { s.Image = "nginx:latest" }, CodeNoImage},
		"image in capitals": {func(s *Spec) { s.Image = strings.ToUpper(s.Image) }, CodeNoImage},
		"port 0":            {func(s *Spec) { s.Port = 0 }, CodeBadSize},
		"port 65536":        {func(s *Spec) { s.Port = 65536 }, CodeBadSize},
		"memory 0":          {func(s *Spec) { s.MemoryMiB = 0 }, CodeBadSize}, // DEFECT 24
		"memory -1":         {func(s *Spec) { s.MemoryMiB = -1 }, CodeBadSize},
		"memory huge":       {func(s *Spec) { s.MemoryMiB = math.MaxInt64 }, CodeBadSize},
		"memory least":      {func(s *Spec) { s.MemoryMiB = MinMemoryMiB }, ""},
		"cpu -1":            {func(s *Spec) { s.CPUMilli = -1 }, CodeBadSize},
		"cpu huge":          {func(s *Spec) { s.CPUMilli = math.MaxInt64 }, CodeBadSize},
		"strategy":          {func(s *Spec) { s.Strategy = "big bang" }, CodeBadSize},
		"deadline 0":        {func(s *Spec) { s.Deadline = 0 }, CodeBadSize},
		"deadline a week":   {func(s *Spec) { s.Deadline = Duration(7 * 24 * time.Hour) }, CodeBadSize},
		"drain -1s":         {func(s *Spec) { s.Drain = -Duration(time.Second) }, CodeBadSize},
		"grace 2h":          {func(s *Spec) { s.Grace = Duration(2 * time.Hour) }, CodeBadSize},
		"health":            {func(s *Spec) { s.Health = "healthz" }, CodeBadSize},
		"env":               {func(s *Spec) { s.Env = map[string]string{"PORT": "1"} }, CodeBadEnv},
	} {
		s := aSpec()
		c.edit(&s)
		wantCode(t, name, s.Check(), c.code)
	}
}

func drawSpec(t *rapid.T) Spec {
	text := rapid.StringN(0, 10, -1)
	return Spec{
		Image: text.Draw(t, "image"), Runtime: text.Draw(t, "runtime"), Command: rapid.SliceOfN(text, 0, 3).Draw(t, "command"), Env: rapid.MapOfN(text, text, 0, 4).Draw(t, "env"),
		Port: rapid.Int().Draw(t, "port"), MemoryMiB: rapid.Int64().Draw(t, "memory"), CPUMilli: rapid.Int64().Draw(t, "cpu"), Drain: Duration(rapid.Int64().Draw(t, "drain")), Health: text.Draw(t, "health"),
	}
}

func TestSpec_HashIsOfTheContent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Spec
		if err := json.Unmarshal(b, &back); err != nil || back.Hash() != s.Hash() {
			t.Fatalf("%s: hash %s became %s, %v", b, s.Hash(), back.Hash(), err)
		}
		other := s
		other.MemoryMiB++
		if other.Hash() == s.Hash() || len(s.Hash()) != 16 {
			t.Fatalf("hash %s does not tell contents apart", s.Hash())
		}
	})
}

func TestDeployRequest_Apply(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := drawSpec(t)
		before := maps.Clone(base.Env)
		if got, want := (DeployRequest{}).Apply(base).Hash(), withEnv(base.WithDefaults()).Hash(); got != want {
			t.Fatalf("a request without settings changes the content")
		}
		memory, health := rapid.Int64().Draw(t, "new memory"), ""
		req := DeployRequest{MemoryMiB: &memory, Health: &health, Env: map[string]string{"NEW": "x"}, Command: []string{}}
		got := req.Apply(base)
		if got.MemoryMiB != memory || got.Health != "" || got.Env["NEW"] != "x" || got.Command == nil || len(got.Env) < len(before) {
			t.Fatalf("applied as %+v", got)
		}
		if !maps.Equal(base.Env, before) {
			t.Fatal("the base was changed")
		}
	})
}

// withEnv is a spec whose environment is never nil, as Apply makes it.
func withEnv(s Spec) Spec {
	if s.Env == nil {
		s.Env = map[string]string{}
	}
	return s
}

func TestParseMemory(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]int64{
		"256M": 256, "256MiB": 256, "256mb": 256, " 1G ": 1024, "2GiB": 2048, "256": 256, "1048576M": 1 << 20, "1024G": 1 << 20,
		"": 0, "M": 0, "-1M": 0, "0": 0, "1.5G": 0, "1T": 0, "1e3": 0, "0x10": 0, "9223372036854775807": 0, "1048577": 0, "1025G": 0, "1048576G": 0, "256 M": 0, "١M": 0,
	} {
		got, err := ParseMemory(in)
		if got != out || (err == nil) != (out != 0) || err != nil && !IsCode(err, CodeBadSize) {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, out)
		}
	}
}

func FuzzParseMemory(f *testing.F) {
	for _, s := range []string{"256M", "1g", "99999999999999999999G", "-1", "ib", "bibm"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseMemory(s)
		if (err == nil) == (n == 0) || n < 0 || n > MaxMemoryMiB {
			t.Fatalf("%q: %d, %v", s, n, err)
		}
		if err == nil {
			if again, err := ParseMemory(strconv.FormatInt(n, 10) + "M"); err != nil || again != n {
				t.Fatalf("%q: %d, then %d, %v", s, n, again, err)
			}
		}
	})
}

func TestParseCPU(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]int64{"0.5": 500, "2": 2000, " 1.25 ": 1250, "0": 0, "512": 512_000, "0.0004": 0, "0.0006": 1, "": -1, "-1": -1, "NaN": -1, "Inf": -1, "513": -1, "1e9": -1, "half": -1} {
		got, err := ParseCPU(in)
		if out < 0 && !IsCode(err, CodeBadSize) || out >= 0 && (got != out || err != nil) {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, out)
		}
	}
}

func FuzzParseCPU(f *testing.F) {
	for _, s := range []string{"0.5", "1e-300", "nan", "0x1p-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseCPU(s); n < 0 || n > MaxCPUMilli || err != nil && n != 0 {
			t.Fatalf("%q: %d, %v", s, n, err)
		}
	})
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]int{"v1": 1, "12": 12, "v007": 7, "": 0, "v": 0, "v0": 0, "v-1": 0, "vv1": 0, "1.0": 0, "V1": 0, "v99999999999999999999": 0} {
		if got, err := ParseVersion(in); got != out || (err == nil) != (out > 0) {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, out)
		}
	}
	if got := (Release{Number: 7}).Version(); got != "v7" {
		t.Errorf("release 7 is %s", got)
	}
}

func TestDuration_JSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64().Draw(t, "d"))
		b, err := json.Marshal(d)
		var back Duration
		if err != nil || json.Unmarshal(b, &back) != nil || back != d {
			t.Fatalf("%d became %s and %d, %v", d, b, back, err)
		}
	})
	for _, bad := range []string{"5", `"5"`, `""`, `"soon"`, "null x", "{}"} {
		var d Duration
		if err := json.Unmarshal([]byte(bad), &d); err == nil {
			t.Errorf("%s was read as %v", bad, d)
		}
	}
}
