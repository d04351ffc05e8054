package dash

import (
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/dash/view"
)

// rebasesShown is how many rebases a page lists.
const rebasesShown = 20

func (d *Dash) rebasesPage(c *gin.Context) { d.showRebases(c, "", nil) }

func (d *Dash) showRebases(c *gin.Context, chosen string, problem error) {
	p, err := d.rebasesData(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	data := p.Data.(view.Rebases)
	data.Chosen = chosen
	p.Data = data
	d.show(c, "rebases", p, problem)
}

func (d *Dash) rebasesData(c *gin.Context) (*view.Page, error) {
	list, err := d.Rebases(c.Request.Context(), actorOf(c), c.Query("before"), rebasesShown)
	if err != nil {
		return nil, err
	}
	data := view.Rebases{Rebases: list.Items, Next: list.Next, Batch: rebaseBatch, MaxBatch: maxBatch, CanBegin: policy.CanSomewhere(actorOf(c), policy.Deploy)}
	for _, r := range runtimes {
		if r != "dockerfile" { // it names its base itself
			data.Runtimes = append(data.Runtimes, r)
		}
	}
	p := d.newPage(c, "/builds", text(c, "rebases.title"), data)
	p.Live = "/live/rebases?" + c.Request.URL.RawQuery
	return p, nil
}

func (d *Dash) rebasePage(c *gin.Context) { d.showRebase(c, nil) }

func (d *Dash) showRebase(c *gin.Context, problem error) {
	p, err := d.rebaseData(c)
	if err != nil {
		d.fail(c, err)
		return
	}
	d.show(c, "rebase", p, problem)
}

func (d *Dash) rebaseData(c *gin.Context) (*view.Page, error) {
	r, err := d.RebaseState(c.Request.Context(), actorOf(c), c.Param("rebase"))
	if err != nil {
		return nil, err
	}
	data := view.Rebase{Rebase: r, CanStop: policy.CanSomewhere(actorOf(c), policy.Deploy) && !rebaseEnded(r)}
	p := d.newPage(c, "/builds", text(c, "rebase.of", r.Runtime), data)
	p.Live = "/live/rebases/" + r.ID
	p.Refresh = !rebaseEnded(r)
	return p, nil
}

func rebaseEnded(r api.Rebase) bool { return r.Status != string(model.RebaseRunning) }

func (d *Dash) liveRebases(c *gin.Context) {
	d.livePage(c, "rebases", d.rebasesData, "rebases-list")
}

func (d *Dash) liveRebase(c *gin.Context) {
	d.livePage(c, "rebase", d.rebaseData, "rebase-state")
}

// rebaseForm begins a rebase, or says that there is nothing to rebuild.
func (d *Dash) rebaseForm(c *gin.Context) {
	in := api.NewRebase{Runtime: c.PostForm("runtime")}
	var err error
	if batch := c.PostForm("batch"); batch != "" {
		if in.Batch, err = strconv.Atoi(batch); err != nil || in.Batch < 1 {
			d.showRebases(c, in.Runtime, model.E(model.CodeBadRequest, "batch is %q; it must be 1 to %d", clip(batch, 20), maxBatch))
			return
		}
	}
	r, err := d.Rebase(c.Request.Context(), actorOf(c), in)
	switch {
	case err != nil:
		d.showRebases(c, in.Runtime, err)
	case r.ID == "":
		d.done(c, "/rebases", "flash.rebase.none", in.Runtime)
	default:
		d.done(c, "/rebases/"+r.ID, "flash.rebase", in.Runtime)
	}
}

func (d *Dash) stopRebaseForm(c *gin.Context) {
	if _, err := d.StopRebase(c.Request.Context(), actorOf(c), c.Param("rebase")); err != nil {
		d.showRebase(c, err)
		return
	}
	d.done(c, "/rebases/"+c.Param("rebase"), "flash.rebase.stop")
}
