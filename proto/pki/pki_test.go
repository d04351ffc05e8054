package pki_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/pki/pkitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

func TestAuthority_SealedOpensWithItsSecretAlone(t *testing.T) {
	t.Parallel()
	ca := pkitest.New().CA
	sealed, err := ca.Seal("right")
	if err != nil || strings.Contains(sealed, "PRIVATE") {
		t.Fatalf("%q %v", sealed, err)
	}
	again, err := pki.OpenCA(ca.PEM(), sealed, "right")
	if err != nil || again.Hash() != ca.Hash() {
		t.Errorf("opened: %v", err)
	}
	if _, err := pki.OpenCA(ca.PEM(), sealed, "wrong"); !errors.Is(err, pki.ErrWrongSecret) {
		t.Errorf("with another secret: %v", err)
	}
	if _, err := pki.OpenCA(pkitest.New().CA.PEM(), sealed, "right"); !errors.Is(err, pki.ErrWrongSecret) {
		t.Errorf("the key of one authority was taken for another's: %v", err)
	}
	for _, cut := range []string{"", "v1:", "v2:AAAA", "v1:" + strings.Repeat("A", 24), sealed[:len(sealed)/2]} {
		if _, err := pki.OpenCA(ca.PEM(), cut, "right"); err == nil {
			t.Errorf("opened from %q", cut)
		}
	}
}

func TestSign_NothingOfTheRequestCountsButItsKey(t *testing.T) {
	t.Parallel()
	ca := pkitest.New().CA
	r, err := pki.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a/b", "../x", "a b", strings.Repeat("x", 200)} {
		if _, err := ca.Sign(r.PEM, pki.Identity{Role: pki.RoleAgent, Name: name}, time.Now(), time.Hour); err == nil {
			t.Errorf("signed for the name %q", name)
		}
	}
	if _, err := ca.Sign(r.PEM, pki.Identity{Role: "root", Name: "x"}, time.Now(), time.Hour); err == nil {
		t.Error("signed for a role that there is not")
	}
	for _, bad := range []string{"", "x", strings.Replace(string(r.PEM), "M", "N", 3)} {
		if _, err := ca.Sign([]byte(bad), pki.Identity{Role: pki.RoleAgent, Name: "n"}, time.Now(), time.Hour); err == nil {
			t.Errorf("signed %q", bad)
		}
	}
}

func TestToken_RoundTripAndRefusals(t *testing.T) {
	t.Parallel()
	want := pki.NewToken(pki.RoleAgent, pkitest.New().CA.Hash())
	got, err := pki.ParseToken(" " + want.String() + "\n")
	if err != nil || got != want {
		t.Errorf("%#v, %v", got, err)
	}
	for _, bad := range []string{"", "x", strings.ToUpper(want.String()), want.String() + ".x", "dinp-join.root." + want.CA + ".s", "dinp-join.agent.short.s"} {
		if _, err := pki.ParseToken(bad); !model.IsCode(err, model.CodeBadJoin) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if text := fmt.Sprintf("%#v", want); strings.Contains(text, want.Secret) {
		t.Error("the secret is printed")
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(pki.NewToken(pki.RoleAgent, strings.Repeat("a", 52)).String())
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := pki.ParseToken(text); err == nil && got.String() != strings.TrimSpace(text) {
			t.Errorf("%q became %q", text, got.String())
		}
	})
}

func TestKeeper_KeptOnDisk_IsLoadedAgainAndForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "identity.pem")
	if _, err := pki.Load(path); !model.IsCode(err, model.CodeNoCertificate) || !strings.Contains(model.AsError(err).Next, "dinp join") {
		t.Errorf("before joining: %v", err)
	}
	want := pkitest.New().Kept(pki.RoleAgent, "n1", path)
	got, err := pki.Load(path)
	if err != nil || got.Identity() != want.Identity() || !got.NotAfter().Equal(want.NotAfter()) {
		t.Fatalf("%v", err)
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", s.Mode(), err)
	}
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "keeper", got)
	if !strings.Contains(out.String(), "agent n1") || strings.Contains(out.String(), "PRIVATE") {
		t.Error(out.String())
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Load(path); err == nil {
		t.Error("rubbish was loaded")
	}
}

func TestKeeper_RenewsBeforeExpiry_ForYears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := pkitest.New()
		k := c.PartFor(pki.RoleAgent, "n1", 90*24*time.Hour)
		var renewals, failing atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			sign := c.Renewer(k.Identity(), 90*24*time.Hour)
			done <- k.Run(ctx, func(ctx context.Context, request []byte) ([]byte, error) {
				if failing.Load() != 0 {
					return nil, errors.New("the servers are away")
				}
				renewals.Add(1)
				return sign(ctx, request)
			}, discard)
		}()
		for day := range 730 {
			switch day {
			case 300:
				failing.Store(1) // a month, which the last third outlasts
			case 320:
				failing.Store(0)
			}
			<-time.After(24 * time.Hour)
			if left := time.Until(k.NotAfter()); left <= 24*time.Hour {
				t.Fatalf("day %d: %s are left", day, left)
			}
		}
		if n := renewals.Load(); n < 11 || n > 15 {
			t.Errorf("%d renewals in two years", n)
		}
		cancel()
		<-done
	})
}

func TestKeeper_Reload_TakesWhatANewJoinOfItsOwnLeaves(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "identity.pem")
	c := pkitest.New()
	first := c.KeptFor(pki.RoleAgent, "n1", -time.Minute, path)
	k, err := pki.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Kept(pki.RoleAgent, "n2", path)
	if k.Reload() || k.Serial() != first.Serial() {
		t.Errorf("it took another part's: %s", k.Identity())
	}
	second := c.Kept(pki.RoleAgent, "n1", path)
	if !k.Reload() || k.Serial() != second.Serial() {
		t.Errorf("it shows %s, want %s", k.Serial(), second.Serial())
	}
	if k.Reload() {
		t.Error("the same one is new again")
	}
	if err := os.WriteFile(path, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k.Reload() || k.Serial() != second.Serial() || c.Agent("n1").Reload() {
		t.Error("it took what is none")
	}
}

func TestKeeper_AnswerForAnotherPart_IsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := pkitest.New()
		k := c.PartFor(pki.RoleAgent, "n1", time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		_ = k.Run(ctx, c.Renewer(pki.Identity{Role: pki.RoleAgent, Name: "n2"}, time.Hour), discard) // ends with ctx
		if k.Identity().Name != "n1" {
			t.Errorf("became %s", k.Identity())
		}
	})
}
