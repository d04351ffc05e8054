// Package acme has certificates issued by an authority that speaks ACME
// (RFC 8555), such as Let's Encrypt. That a name is ours is proven by HTTP-01,
// which any router answers from Redis, or by DNS-01 through a command of the
// operator's; wildcards can only be proven by the latter.
package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/seal"
)

// Config of an Issuer.
type Config struct {
	Directory string `yaml:"directory" help:"URL of the directory of the authority that issues certificates (ACME); empty: none are asked for"`
	Email     string `yaml:"email" help:"address that the authority may write to; empty: none"`
	CAFile    string `yaml:"ca_file" help:"PEM file of the root by which the directory's own HTTPS is checked; empty: the system's roots"`
	DNSHook   string `yaml:"dns_hook" help:"program that sets and removes DNS records, called as HOOK present|cleanup NAME VALUE; empty: HTTP-01 only, and no wildcards"`
}

// Enabled reports whether there is an authority.
func (c Config) Enabled() bool { return c.Directory != "" }

// Challenges is where routers find the answers to HTTP-01.
type Challenges interface {
	PutChallenge(ctx context.Context, token, answer string, life time.Duration) error
	EndChallenge(ctx context.Context, token string) error
}

// Accounts keeps the key of our account, sealed.
type Accounts interface {
	// ACMEAccount returns the key there is, or keeps the candidate.
	ACMEAccount(ctx context.Context, directory, candidate string) (string, error)
}

// Issuer asks one authority.
type Issuer struct {
	cfg        Config
	key        seal.Key
	challenges Challenges
	accounts   Accounts
	run        func(ctx context.Context, hook string, args ...string) error // runs the hook

	mu     sync.Mutex
	client *acme.Client // with an account; nil before the first use
}

// New returns an Issuer. It asks nobody yet.
func New(cfg Config, secret string, challenges Challenges, accounts Accounts) (*Issuer, error) {
	key, err := seal.New(secret, seal.AtRest)
	return &Issuer{cfg: cfg, key: key, challenges: challenges, accounts: accounts, run: runHook}, err
}

// Issue has a certificate made for a host or a wildcard, with a new key. Its
// error is a model.CodeACME.
func (i *Issuer) Issue(ctx context.Context, host string) (chain, key string, err error) {
	chain, key, err = i.issue(ctx, host)
	if err != nil {
		return "", "", model.E(model.CodeACME, "no certificate for %s: %s", host, explain(err)).WithCause(err)
	}
	return chain, key, nil
}

func (i *Issuer) issue(ctx context.Context, host string) (string, string, error) {
	c, err := i.account(ctx)
	if err != nil {
		return "", "", err
	}
	order, err := c.AuthorizeOrder(ctx, acme.DomainIDs(host))
	if err != nil {
		return "", "", err
	}
	for _, url := range order.AuthzURLs {
		if err := i.prove(ctx, c, url); err != nil {
			return "", "", err
		}
	}
	if order, err = c.WaitOrder(ctx, order.URI); err != nil {
		return "", "", err
	}
	return collect(ctx, c, order, host)
}

// collect sends the request for the certificate and fetches it.
func collect(ctx context.Context, c *acme.Client, order *acme.Order, host string) (string, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{host}}, key)
	if err != nil {
		return "", "", err
	}
	ders, _, err := c.CreateCertFromOrder(ctx, order, csr, true) // authorities need not repeat the order's URL
	if err != nil {
		return "", "", err
	}
	var chain strings.Builder
	for _, der := range ders {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return "", "", err
		}
	}
	text, err := encodeKey(key)
	return chain.String(), text, err
}

// explain makes one line of what the authority said.
func explain(err error) string {
	var auth *acme.AuthorizationError
	if errors.As(err, &auth) && len(auth.Errors) > 0 {
		lines := make([]string, len(auth.Errors))
		for n, e := range auth.Errors {
			lines[n] = explain(e)
		}
		return strings.Join(lines, "; ")
	}
	var said *acme.Error
	if errors.As(err, &said) {
		return fmt.Sprintf("the authority says %d %s: %s", said.StatusCode, said.ProblemType, said.Detail)
	}
	return err.Error()
}

// account returns a client whose account exists at the authority.
func (i *Issuer) account(ctx context.Context) (*acme.Client, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.client != nil {
		return i.client, nil
	}
	key, err := i.accountKey(ctx)
	if err != nil {
		return nil, err
	}
	web, err := i.web()
	if err != nil {
		return nil, err
	}
	c := &acme.Client{Key: key, DirectoryURL: i.cfg.Directory, HTTPClient: web, UserAgent: "dinp"}
	account := &acme.Account{}
	if i.cfg.Email != "" {
		account.Contact = []string{"mailto:" + i.cfg.Email}
	}
	// Who names the directory in the configuration agrees to its terms.
	if _, err := c.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, err
	}
	i.client = c
	return c, nil
}

func (i *Issuer) accountKey(ctx context.Context) (crypto.Signer, error) {
	fresh, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(fresh)
	if err != nil {
		return nil, err
	}
	candidate, err := i.key.Seal(rand.Reader, []byte(text), i.cfg.Directory)
	if err != nil {
		return nil, err
	}
	sealed, err := i.accounts.ACMEAccount(ctx, i.cfg.Directory, candidate)
	if err != nil {
		return nil, err
	}
	plain, err := i.key.Open(sealed, i.cfg.Directory)
	if err != nil {
		return nil, fmt.Errorf("key of the account at %s: %w", i.cfg.Directory, err)
	}
	return decodeKey(plain)
}

func encodeKey(k *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

func decodeKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("account key is no PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("account key is a %T", k)
	}
	return signer, nil
}

// web is the HTTP client that talks to the authority.
func (i *Issuer) web() (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if i.cfg.CAFile != "" {
		text, err := os.ReadFile(i.cfg.CAFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", i.cfg.CAFile)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &http.Client{Transport: t, Timeout: 30 * time.Second}, nil
}

// Close ends idle connections to the authority.
func (i *Issuer) Close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.client != nil {
		i.client.HTTPClient.CloseIdleConnections()
	}
}
