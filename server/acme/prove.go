package acme

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"

	"golang.org/x/crypto/acme"
)

// challengeLife is how long an answer stands in Redis when nobody takes it
// back.
const challengeLife = 10 * time.Minute

// cleanupTimeout bounds taking an answer back, also after the issue was cut.
const cleanupTimeout = 30 * time.Second

// prove answers one authorization: DNS-01 where there is a hook, as it proves
// everything; else HTTP-01.
func (i *Issuer) prove(ctx context.Context, c *acme.Client, url string) error {
	z, err := c.GetAuthorization(ctx, url)
	if err != nil || z.Status == acme.StatusValid {
		return err
	}
	kind, answer := "http-01", i.answerHTTP
	if i.cfg.DNSHook != "" {
		kind, answer = "dns-01", i.answerDNS
	}
	for _, ch := range z.Challenges {
		if ch.Type != kind {
			continue
		}
		done, err := answer(ctx, c, z.Identifier.Value, ch)
		if err != nil {
			return err
		}
		defer done()
		if _, err := c.Accept(ctx, ch); err != nil {
			return err
		}
		_, err = c.WaitAuthorization(ctx, z.URI)
		return err
	}
	if z.Wildcard {
		return fmt.Errorf("a wildcard is proven by DNS alone: set server.acme.dns_hook")
	}
	return fmt.Errorf("the authority offers no %s challenge", kind)
}

// answerHTTP puts the answer where routers find it.
func (i *Issuer) answerHTTP(ctx context.Context, c *acme.Client, _ string, ch *acme.Challenge) (func(), error) {
	text, err := c.HTTP01ChallengeResponse(ch.Token)
	if err != nil {
		return nil, err
	}
	if err := i.challenges.PutChallenge(ctx, ch.Token, text, challengeLife); err != nil {
		return nil, fmt.Errorf("answer not put into Redis: %w", err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		_ = i.challenges.EndChallenge(ctx, ch.Token) // it expires by itself
	}, nil
}

// answerDNS has the operator's program set the record. The program returns
// when the record can be seen.
func (i *Issuer) answerDNS(ctx context.Context, c *acme.Client, domain string, ch *acme.Challenge) (func(), error) {
	value, err := c.DNS01ChallengeRecord(ch.Token)
	if err != nil {
		return nil, err
	}
	name := "_acme-challenge." + domain
	if err := i.run(ctx, i.cfg.DNSHook, "present", name, value); err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		_ = i.run(ctx, i.cfg.DNSHook, "cleanup", name, value) // a left-over record does no harm
	}, nil
}

// runHook runs the operator's program. It gets its arguments as they are, never
// through a shell.
func runHook(ctx context.Context, hook string, args ...string) error {
	cmd := exec.CommandContext(ctx, hook, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("DNS hook %s %s: %w: %.500s", hook, args[0], err, said.String())
	}
	return nil
}
