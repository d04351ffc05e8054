package dash

import (
	"context"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/proto/wire"
)

// SafeMode tells whether the leader changes nothing, and what it would do if the
// database were believed.
func (d *Dash) SafeMode(ctx context.Context, actor model.Actor) (api.SafeMode, error) {
	out := api.SafeMode{Apps: []api.SafeModeApp{}}
	if err := d.mayPlatform(ctx, actor, policy.ViewNodes); err != nil {
		return out, err
	}
	m, err := d.leader.safeMode(ctx)
	if err != nil {
		return out, err
	}
	out.On, out.Since, out.Reason, out.Notes = m.GetOn(), wire.Time(m.GetSinceMs()), m.GetReason(), m.GetNotes()
	for _, a := range m.GetApps() {
		out.Apps = append(out.Apps, api.SafeModeApp{Name: a.GetName(), Start: int(a.GetStart()), Stop: int(a.GetStop()), Unknown: int(a.GetUnknown()), Lost: a.GetLost()})
	}
	return out, nil
}

// EndSafeMode says that the database holds what people want: the leader acts on it.
func (d *Dash) EndSafeMode(ctx context.Context, actor model.Actor) error {
	if err := d.mayPlatform(ctx, actor, policy.EditNodes); err != nil {
		return err
	}
	if err := d.store.EndSafeMode(ctx, actor); err != nil {
		return err
	}
	d.leader.nudge(ctx, true)
	return nil
}
