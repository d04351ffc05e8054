package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
)

// MaxAttempts is how often a build is begun that ends its builders before they
// can say why. Builders that stop in good order give their builds back, and
// these do not count.
const MaxAttempts = 3

// claimable is a build that may be claimed.
type claimable struct {
	id, appID, appName, team string
	claims                   int64
	running                  bool // its builder let the lease run out
	cancel                   bool
	attempts                 int
}

const claimableColumns = `b.id, b.app_id, b.app_name, a.team_id, b.claims, b.status, b.cancel, b.attempts FROM builds b JOIN apps a ON a.id = b.app_id`

func scanClaimable(r scanner) (c claimable, err error) {
	var status string
	err = r.Scan(&c.id, &c.appID, &c.appName, &c.team, &c.claims, &status, &c.cancel, &c.attempts)
	c.running = status == string(model.BuildRunning)
	return c, err
}

// ClaimBuild takes a running build whose builder let its lease run out, or a
// queued one; nil when there is none. Teams take turns: the one with the fewest
// builds under way comes first, among these the one whose last turn is longest
// ago, and then its oldest build. The claim is a compare-and-swap: of two
// builders one wins and the other tries the next. A build that has ended
// MaxAttempts builders fails instead.
func (s *Store) ClaimBuild(ctx context.Context, builderID string, now, leaseUntil time.Time) (*model.Build, error) {
	left, err := list(ctx, s.db, scanClaimable, `SELECT `+claimableColumns+` WHERE b.status = ? AND b.lease_ms < ? ORDER BY b.created_ms, b.id LIMIT 5`, string(model.BuildRunning), ms(now))
	if err != nil {
		return nil, err
	}
	for _, c := range left {
		switch {
		case c.cancel:
			err = s.endLeft(ctx, c, now, model.BuildCancelled, model.E(model.CodeBuildStopped, "cancelled; its builder had stopped before"))
		case c.attempts >= MaxAttempts:
			err = s.failKiller(ctx, c, now)
		default:
			if b, err := s.claim(ctx, c, builderID, now, leaseUntil); err != nil || b != nil {
				return b, err
			}
		}
		if err != nil {
			return nil, err
		}
	}
	queued, err := s.nextOfTeams(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range queued {
		if b, err := s.claim(ctx, c, builderID, now, leaseUntil); err != nil || b != nil {
			return b, err
		}
	}
	return nil, nil
}

// turn is how long a team has waited for a builder.
type turn struct {
	team    string
	running int
	last    int64 // when a build of it was begun last, in ms
	oldest  int64 // when its first queued build was queued
}

// fairer orders teams: who has fewer builds under way, whose last turn is longer ago, who asked first.
func fairer(a, b turn) int {
	return cmp.Or(cmp.Compare(a.running, b.running), cmp.Compare(a.last, b.last), cmp.Compare(a.oldest, b.oldest), cmp.Compare(a.team, b.team))
}

// nextOfTeams returns the first builds of each team that waits, in the order of their turns.
func (s *Store) nextOfTeams(ctx context.Context) ([]claimable, error) {
	turns, err := list(ctx, s.db, func(r scanner) (v turn, err error) {
		err = r.Scan(&v.team, &v.oldest, &v.last, &v.running)
		return v, err
	}, `SELECT a.team_id, MIN(b.created_ms), COALESCE((SELECT turn_ms FROM team_turns t WHERE t.team_id = a.team_id), 0),
		(SELECT COUNT(*) FROM builds u JOIN apps v ON v.id = u.app_id WHERE u.status = ? AND v.team_id = a.team_id)
		FROM builds b JOIN apps a ON a.id = b.app_id WHERE b.status = ? GROUP BY a.team_id`, string(model.BuildRunning), string(model.BuildQueued))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(turns, fairer)
	var out []claimable
	for _, t := range turns {
		first, err := list(ctx, s.db, scanClaimable, `SELECT `+claimableColumns+` WHERE b.status = ? AND a.team_id = ? ORDER BY b.created_ms, b.id LIMIT 3`, string(model.BuildQueued), t.team)
		if err != nil {
			return nil, err
		}
		out = append(out, first...)
	}
	return out, nil
}

// claim takes a build, unless another builder was faster or its app's images are being removed.
func (s *Store) claim(ctx context.Context, c claimable, builderID string, now, leaseUntil time.Time) (*model.Build, error) {
	claimed := false
	err := s.tx(ctx, func(t *tx) error {
		claimed = false
		// The row's lock keeps a removal that begins apart from this; see BeginRemoval.
		if _, err := t.ExecContext(ctx, `UPDATE apps SET generation = generation WHERE id = ?`, c.appID); err != nil {
			return err
		}
		if busy, err := t.removing(ctx, c.appName); err != nil || busy {
			return err
		}
		n, err := exec(ctx, t, `UPDATE builds SET status = ?, builder_id = ?, lease_ms = ?, started_ms = ?, claims = claims + 1, attempts = attempts + 1 WHERE id = ? AND claims = ? AND status IN (?, ?)`,
			string(model.BuildRunning), builderID, ms(leaseUntil), ms(now), c.id, c.claims, string(model.BuildQueued), string(model.BuildRunning))
		if err != nil || n != 1 {
			return err
		}
		claimed = true
		return t.takeTurn(ctx, c.team)
	})
	if err != nil || !claimed {
		return nil, err
	}
	b, err := s.Build(ctx, c.id)
	return &b, err
}

// takeTurn notes that a team had its turn. A turn never is the same moment as the last one's.
func (t *tx) takeTurn(ctx context.Context, team string) error {
	n, err := exec(ctx, t, `UPDATE team_turns SET turn_ms = CASE WHEN turn_ms < ? THEN ? ELSE turn_ms + 1 END WHERE team_id = ?`, ms(t.now), ms(t.now), team)
	if err != nil || n > 0 {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO team_turns (team_id, turn_ms) VALUES (?,?)`, team, ms(t.now))
	if isDuplicate(err) {
		return nil // another builder began one of the same team
	}
	return err
}

// failKiller ends a build that no builder has survived, unless somebody claimed
// or ended it meanwhile.
func (s *Store) failKiller(ctx context.Context, c claimable, now time.Time) error {
	b, err := s.Build(ctx, c.id)
	if err != nil {
		return err
	}
	return s.endLeft(ctx, c, now, model.BuildFailed, model.E(model.CodeBuildKills, "the build ended %d builders, the last one %s, so it is not begun again", c.attempts, b.BuilderID).
		WithStill("what serves goes on serving").WithNext("look at the builders' logs and at dmesg on their hosts; most often memory ran out"))
}

// endLeft ends a build that its builder has left.
func (s *Store) endLeft(ctx context.Context, c claimable, now time.Time, status model.BuildStatus, why *model.Error) error {
	return s.tx(ctx, func(t *tx) error {
		n, err := exec(ctx, t, `UPDATE builds SET status = ?, error = ?, ended_ms = ?, step = '', claims = claims + 1 WHERE id = ? AND claims = ? AND status = ?`,
			string(status), encodeError(why), ms(now), c.id, c.claims, string(model.BuildRunning))
		if err != nil || n != 1 {
			return err
		}
		return t.addEvent(ctx, model.Event{Actor: "builder", Verb: "build." + string(status), AppID: c.appID, AppName: c.appName, Subject: c.id, Message: why.Message, Outcome: string(why.Code)})
	})
}
