package enrol

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

var ada = model.Actor{Name: "ada"}

func eachDatabase(t *testing.T, f func(t *testing.T, st *store.Store)) {
	for name, url := range map[string]string{"sqlite": storetest.SQLite(t), "mariadb": "mysql:" + testenv.MariaDB(t)} {
		t.Run(name, func(t *testing.T) {
			st, err := store.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			f(t, st)
		})
	}
}

func authority(t *testing.T, st *store.Store) *Authority {
	t.Helper()
	a, err := Open(t.Context(), st, "the secret", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// invite makes a token that expires after d.
func invite(t *testing.T, a *Authority, role pki.Role, d time.Duration) pki.Token {
	t.Helper()
	token := pki.NewToken(role, a.ca.Hash())
	if err := a.store.CreateJoinToken(t.Context(), model.JoinToken{Hash: token.Hash(), Role: string(role), ExpiresAt: time.Now().Add(d)}, ada); err != nil {
		t.Fatal(err)
	}
	return token
}

func join(a *Authority, token pki.Token, role pki.Role, name string) (*pki.Keeper, error) {
	r, err := pki.NewRequest()
	if err != nil {
		return nil, err
	}
	c, err := NewService(a, slog.New(slog.DiscardHandler)).Join(context.Background(), &pb.JoinRequest{Secret: token.Secret, Role: string(role), Name: name, Request: r.PEM})
	if err != nil {
		return nil, err
	}
	return r.Answered(c.GetPem(), "")
}

func refuses(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range append(words, "[D") {
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), w) {
			t.Errorf("nothing of %q in: %v", w, err)
		}
	}
}

func TestOpen_ManyAtOnce_AgreeOnOneAuthority(t *testing.T) {
	eachDatabase(t, func(t *testing.T, st *store.Store) {
		var wg sync.WaitGroup
		hashes := make([]string, 6)
		for i := range hashes {
			wg.Go(func() {
				a, err := Open(t.Context(), st, "the secret", time.Hour)
				if err != nil {
					t.Error(err)
					return
				}
				hashes[i] = a.ca.Hash()
			})
		}
		wg.Wait()
		for _, h := range hashes {
			if h != hashes[0] || h == "" {
				t.Errorf("authorities %q", hashes)
			}
		}
		if _, err := Open(t.Context(), st, "another secret", time.Hour); !model.IsCode(err, model.CodeBadConfig) {
			t.Errorf("with another secret: %v", err)
		}
	})
}

func TestJoin_TokenIsGoodOnceForItsRoleAndTime(t *testing.T) {
	eachDatabase(t, func(t *testing.T, st *store.Store) {
		a := authority(t, st)
		token := invite(t, a, pki.RoleAgent, time.Minute)
		_, err := join(a, token, pki.RoleMonitor, "n1")
		refuses(t, err, "D196", "not hm")
		k, err := join(a, token, pki.RoleAgent, "n1")
		if err != nil || k.Identity() != (pki.Identity{Role: pki.RoleAgent, Name: "n1"}) {
			t.Fatalf("join: %v", err)
		}
		_, err = join(a, token, pki.RoleAgent, "n2")
		refuses(t, err, "D196", "was used at", "create-join")
		_, err = join(a, pki.NewToken(pki.RoleAgent, a.ca.Hash()), pki.RoleAgent, "n2")
		refuses(t, err, "D196", "not known")
		_, err = join(a, invite(t, a, pki.RoleAgent, -time.Second), pki.RoleAgent, "n2")
		refuses(t, err, "D196", "expired at")
	})
}

func TestJoin_OneTokenByManyAtOnce_LetsOneIn(t *testing.T) {
	eachDatabase(t, func(t *testing.T, st *store.Store) {
		a := authority(t, st)
		token := invite(t, a, pki.RoleAgent, time.Minute)
		var in atomic.Int32
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			wg.Go(func() {
				if _, err := join(a, token, pki.RoleAgent, name); err == nil {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if n := in.Load(); n != 1 {
			t.Errorf("%d got in", n)
		}
	})
}

func TestJoin_NameOfANodeThatIsIn_IsRefusedUntilItIsRevoked_AndTheTokenStaysGood(t *testing.T) {
	eachDatabase(t, func(t *testing.T, st *store.Store) {
		a := authority(t, st)
		first, err := join(a, invite(t, a, pki.RoleAgent, time.Minute), pki.RoleAgent, "n1")
		if err != nil {
			t.Fatal(err)
		}
		token := invite(t, a, pki.RoleAgent, time.Minute)
		_, err = join(a, token, pki.RoleAgent, "n1")
		refuses(t, err, "D198", "dinp identities revoke n1")
		if n, err := st.Revoke(t.Context(), "n1", ada); n != 1 || err != nil {
			t.Fatalf("%d revoked, %v", n, err)
		}
		if _, err := join(a, token, pki.RoleAgent, "n1"); err != nil {
			t.Errorf("after the revocation: %v", err)
		}
		revoked, err := st.RevokedIdentities(t.Context(), time.Now())
		if err != nil || len(revoked) != 1 || revoked[0] != first.Serial() {
			t.Errorf("revoked %v, %v; want the first", revoked, err)
		}
		all, err := st.Identities(t.Context(), time.Now())
		if err != nil || len(all) != 2 || all[0].RevokedAt.IsZero() == all[1].RevokedAt.IsZero() {
			t.Errorf("certificates %+v, %v", all, err)
		}
	})
}

func TestIssue_CertificateIsOnRecord(t *testing.T) {
	eachDatabase(t, func(t *testing.T, st *store.Store) {
		a := authority(t, st)
		k, err := a.Issue(t.Context(), pki.Identity{Role: pki.RoleDash, Name: "d1"})
		if err != nil {
			t.Fatal(err)
		}
		all, err := st.Identities(t.Context(), time.Now())
		if err != nil || len(all) != 1 || all[0].Serial != k.Serial() || !all[0].ExpiresAt.Equal(k.NotAfter()) {
			t.Errorf("%+v, %v", all, err)
		}
	})
}
