package store

import (
	"context"
	"time"

	"github.com/dinp/dinp/common/model"
)

const certificateColumns = `host, source, chain_pem, sealed_key, not_after_ms, generation, created_ms, updated_ms, failure, failures, try_ms`

func scanCertificate(r scanner) (model.Certificate, error) {
	var c model.Certificate
	var notAfter, created, updated, try int64
	err := r.Scan(&c.Host, &c.Source, &c.Chain, &c.SealedKey, &notAfter, &c.Generation, &created, &updated, &c.Failure, &c.Failures, &try)
	c.NotAfter, c.CreatedAt, c.UpdatedAt, c.TryAt = fromMS(notAfter), fromMS(created), fromMS(updated), fromMS(try)
	return c, err
}

// Certificates lists all certificates, by host.
func (s *Store) Certificates(ctx context.Context) ([]model.Certificate, error) {
	return list(ctx, s.db, scanCertificate, `SELECT `+certificateColumns+` FROM certificates ORDER BY host`)
}

// PutCertificate keeps a certificate under its host, in the place of one there
// was. Its Generation and times are set here.
func (s *Store) PutCertificate(ctx context.Context, c model.Certificate, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE certificates SET source = ?, chain_pem = ?, sealed_key = ?, not_after_ms = ?, generation = generation + 1, updated_ms = ?, failure = '', failures = 0, try_ms = 0 WHERE host = ?`,
			c.Source, c.Chain, c.SealedKey, ms(c.NotAfter), ms(t.now), c.Host)
		if err == nil && n == 0 {
			_, err = t.ExecContext(ctx, `INSERT INTO certificates (`+certificateColumns+`) VALUES (?,?,?,?,?,1,?,?,'',0,0)`,
				c.Host, c.Source, c.Chain, c.SealedKey, ms(c.NotAfter), ms(t.now), ms(t.now))
		}
		if isDuplicate(err) {
			return model.E(model.CodeConflict, "the certificate of %s was put by somebody else at the same time", c.Host)
		}
		if err != nil {
			return err
		}
		return t.addEvent(ctx, model.Event{Actor: by.Name, From: by.From, Verb: "certificate.put", Subject: c.Host, Message: "certificate put, source " + string(c.Source)})
	})
}

// DeleteCertificate removes the certificate of a host.
func (s *Store) DeleteCertificate(ctx context.Context, host string, by model.Actor) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `DELETE FROM certificates WHERE host = ?`, host)
		if err != nil {
			return err
		}
		if n == 0 {
			return model.E(model.CodeNotFound, "there is no certificate for %s", host).WithNext("dinp certs lists them")
		}
		return t.addEvent(ctx, model.Event{Actor: by.Name, From: by.From, Verb: "certificate.delete", Subject: host, Message: "certificate removed"})
	})
}

// CertificateIssued keeps what an authority gave, unless the certificate was
// changed since it was read; then it reports false.
func (s *Store) CertificateIssued(ctx context.Context, c model.Certificate) (kept bool, err error) {
	err = s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE certificates SET chain_pem = ?, sealed_key = ?, not_after_ms = ?, try_ms = ?, generation = generation + 1, updated_ms = ?, failure = '', failures = 0 WHERE host = ? AND generation = ?`,
			c.Chain, c.SealedKey, ms(c.NotAfter), ms(c.TryAt), ms(t.now), c.Host, c.Generation)
		if kept = n == 1; !kept || err != nil {
			return err
		}
		return t.addEvent(ctx, model.Event{Actor: "acme", Verb: "certificate.issue", Subject: c.Host, Message: "certificate issued, valid until " + c.NotAfter.UTC().Format(time.DateOnly)})
	})
	return kept && err == nil, err
}

// CertificateFailed notes why an authority gave none, and when to ask again.
// What there is stays in use.
func (s *Store) CertificateFailed(ctx context.Context, host string, generation int64, why string, tryAt time.Time) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE certificates SET failure = ?, failures = failures + 1, try_ms = ? WHERE host = ? AND generation = ?`, clip(why, 4000), ms(tryAt), host, generation)
		if n == 0 || err != nil {
			return err
		}
		return t.addEvent(ctx, model.Event{Actor: "acme", Verb: "certificate.issue", Subject: host, Message: clip(why, 4000), Outcome: string(model.CodeACME)})
	})
}

// ACMEAccount returns the sealed key of our account at a directory, which is
// the candidate unless there was one before.
func (s *Store) ACMEAccount(ctx context.Context, directory, candidate string) (string, error) {
	scan := func(r scanner) (key string, err error) { return key, r.Scan(&key) }
	var key string
	err := s.tx(ctx, func(t *tx) error {
		found, err := list(ctx, t, scan, `SELECT sealed_key FROM acme_accounts WHERE directory = ?`, directory)
		if err != nil {
			return err
		}
		if len(found) == 1 {
			key = found[0]
			return nil
		}
		key = candidate
		_, err = t.ExecContext(ctx, `INSERT INTO acme_accounts (directory, sealed_key, created_ms) VALUES (?,?,?)`, directory, candidate, ms(t.now))
		return err
	})
	return key, err
}
