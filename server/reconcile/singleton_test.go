package reconcile

import (
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// singleton is an app of which never two instances run, on two nodes.
func singleton(t tester) *rig {
	r := newRig(t)
	r.node("n1", 1024)
	r.node("n2", 1024)
	r.watch = func() {
		if n := r.running(); n > 1 {
			t.Fatalf("%d instances of a singleton run", n)
		}
	}
	r.edit("shop", func(a *model.App) { a.Singleton = true })
	r.deploy("shop", 1)
	r.settle()
	return r
}

// running is how many containers there are.
func (r *rig) running() (n int) {
	for _, a := range r.agents {
		for _, o := range a.has {
			if o.Phase != model.PhaseGone {
				n++
			}
		}
	}
	return n
}

// serves returns the release and the node of the only instance.
func (r *rig) serves(t *testing.T) (release, node string) {
	t.Helper()
	rows := r.core.apps["app-shop"].rows
	if len(rows) != 1 || !rows[0].inRoutes || r.running() != 1 {
		t.Fatalf("%d rows, %d containers: %s", len(rows), r.running(), told(r.explained("shop")))
	}
	return rows[0].ReleaseID, rows[0].NodeID
}

func TestSingleton_RolloutAndDrainStopBeforeTheyStart(t *testing.T) {
	t.Parallel()
	r := singleton(t)
	r.deploy("shop", 1)
	r.settle()
	release, node := r.serves(t)
	if release != "rel-shop-2" || r.deployments[release].Status != model.DeploymentSucceeded {
		t.Errorf("%s serves, its deployment %+v", release, r.deployments[release])
	}
	a := r.answer(&pb.WhatIfRequest{Drain: node})
	r.want(node, model.Draining)
	r.settle()
	if _, now := r.serves(t); now == node || len(a.GetMoves()) != 1 || a.GetMoves()[0].GetTo() != now {
		t.Errorf("it is on %s, foretold was %v", now, a)
	}
}

func TestSingleton_FailedReleaseGivesWayToTheOneBefore(t *testing.T) {
	t.Parallel()
	r := singleton(t)
	for _, a := range r.agents {
		a.dies = map[string]bool{"rel-shop-2": true}
	}
	r.deploy("shop", 1)
	r.settle()
	if release, _ := r.serves(t); release != "rel-shop-1" || r.deployments["rel-shop-2"].Status != model.DeploymentFailed {
		t.Errorf("%s serves, the deployment: %+v", release, r.deployments["rel-shop-2"])
	}
}

func TestSingleton_OnALostNodeIsReplacedOnlyByAPersonsWord(t *testing.T) { // R11
	t.Parallel()
	r := singleton(t)
	_, node := r.serves(t)
	r.silence(node)
	r.pass(5 * time.Minute)
	r.settle()
	if len(r.inserted) != 1 {
		t.Fatalf("a second instance was placed while the first may run: %s", told(r.explained("shop")))
	}
	r.want(node, model.Forgotten)
	delete(r.agents, node) // it is burnt
	r.settle()
	if _, now := r.serves(t); now == node {
		t.Error("it was not replaced")
	}
}

func TestSingleton_OnAForgottenNodeMayRunUntilItIsSilentForLong(t *testing.T) { // R11
	t.Parallel()
	r := singleton(t)
	_, node := r.serves(t)
	r.silence(node)
	r.pass(20 * time.Second)
	r.round()
	r.want(node, model.Forgotten) // it is only cut off, and its agent ends singletons in its time
	for range 10 {
		r.pass(5 * time.Second)
		r.round()
	}
	if len(r.inserted) != 1 {
		t.Fatalf("a second instance was placed while the first may run: %s", told(r.explained("shop")))
	}
	delete(r.agents, node)
	r.pass(10 * time.Second)
	r.settle()
	if _, now := r.serves(t); now == node {
		t.Error("it was not replaced")
	}
}

// strayed is a singleton that was rolled out after the backup that its database
// was restored from: the row of its first release is there again, its second runs.
func strayed(t tester) (r *rig, stray string) {
	r = singleton(t)
	return r, r.stray(r.backup())
}

// stray rolls a singleton out and restores a backup.
func (r *rig) stray(old backup) (stray string) {
	r.t.Helper()
	r.deploy("shop", 1)
	r.settle()
	stray = r.runs()[0]
	r.restore(old)
	r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{Epoch: 4 * day, Age: 3_601_000})
	r.round()
	if r.wish.Safe == nil {
		r.t.Fatal("no safe mode")
	}
	return stray
}

func (r *rig) endSafeMode() {
	r.wish.Safe = nil
	r.core.swept = time.Time{}
}

func TestSingleton_StrayOfARestoredDatabaseIsStoppedBeforeAnotherStarts(t *testing.T) { // R11
	t.Parallel()
	r, stray := strayed(t)
	r.pass(2 * time.Minute)
	r.endSafeMode()
	r.round()
	for _, a := range r.agents {
		a.hold = true // orders are long on their way
	}
	for range 30 {
		r.pass(5 * time.Second)
		r.round()
		r.step()
	}
	if now := r.runs(); len(now) != 1 || now[0] != stray {
		t.Fatalf("running %v before the stray %s could be stopped", now, stray)
	}
	for _, a := range r.agents {
		a.hold = false
	}
	r.settle()
	if release, _ := r.serves(t); release != "rel-shop-1" || r.runs()[0] == stray {
		t.Errorf("%s serves as %v", release, r.runs())
	}
}

func TestSingleton_StrayOnANodeThatIsSilentIsWaitedForAsLongAsItMayRun(t *testing.T) { // R11
	t.Parallel()
	r := singleton(t)
	old := r.backup()
	old.instances = map[string]model.Instance{}
	stray := r.stray(old)
	r.pass(2 * time.Minute)
	var silent *fakeAgent
	for _, a := range r.agents {
		if _, has := a.has[stray]; has {
			silent = a
		}
	}
	silent.leave()
	r.endSafeMode()
	for range 12 {
		r.round()
		r.step()
		r.pass(5 * time.Second)
	}
	if len(r.inserted) != 2 { // those of before
		t.Fatal("another was placed while the stray may run")
	}
	silent.has = map[string]model.Observed{} // its agent ends singletons of which no leader hears
	r.pass(20 * time.Second)
	r.settle()
	if release, node := r.serves(t); release != "rel-shop-1" || node == silent.NodeID() {
		t.Errorf("%s serves on %s", release, node)
	}
}

func TestSingleton_OnANodeThatARestoredDatabaseDoesNotKnowMayRunForAWhile(t *testing.T) { // R11
	t.Parallel()
	r, stray := strayed(t)
	unknown := r.agents["n2"]
	if _, has := r.agents["n1"].has[stray]; has {
		unknown = r.agents["n1"]
	}
	unknown.leave() // it has not spoken in the next term
	delete(r.agents, unknown.NodeID())
	delete(r.nodes, unknown.NodeID())
	m := model.Moment{Epoch: 5 * day, Age: 10}
	r.term(6*day, m, m)
	r.round()
	r.pass(10 * time.Second)
	r.endSafeMode()
	r.instances = map[string]model.Instance{}
	r.core.reload = true
	for range 10 {
		r.round()
		r.step()
		if len(r.runs()) > 0 {
			t.Fatal("it may still run on the node that is not known")
		}
		r.pass(5 * time.Second)
	}
	r.settle()
	if release, _ := r.serves(t); release != "rel-shop-1" {
		t.Errorf("%s serves", release)
	}
}

// apart is a singleton of which one node has what the database wants, as far as
// that knows, and another what runs: the database was set back to before it moved.
func apart(t tester) (r *rig, empty, runs *fakeAgent) {
	r = singleton(t)
	old := r.backup()
	node := r.core.apps["app-shop"].rows[0].NodeID
	r.want(node, model.Cordoned)
	r.deploy("shop", 1)
	r.settle()
	r.wish.Availabilities[node] = model.Active
	empty = r.agents[node]
	for id, a := range r.agents {
		if id != node {
			runs = a
		}
	}
	if len(runs.has) != 1 || len(empty.has) != 0 {
		t.Fatalf("%s has %v, %s has %v", empty.NodeID(), empty.has, runs.NodeID(), runs.has)
	}
	r.restore(old)
	return r, empty, runs
}

// leadsWithout begins a term in which an agent is late.
func (r *rig) leadsWithout(late *fakeAgent, epoch int64, before, told model.Moment) {
	r.t.Helper()
	delete(r.agents, late.NodeID())
	late.away = true
	r.term(epoch, before, told)
	r.agents[late.NodeID()] = late
}

// stays lets time go by, in which nothing may be started.
func (r *rig) stays(d time.Duration) {
	r.t.Helper()
	before := r.runs()
	for ; d > 0; d -= 5 * time.Second {
		r.round()
		r.step()
		if now := r.runs(); !slices.Equal(now, before) {
			r.t.Fatalf("running %v, before %v", now, before)
		}
		r.pass(5 * time.Second)
	}
}

// The first node that comes knows no better than a database that was set back.
func TestSingleton_IsNotStartedBeforeEveryNodeHasToldWhatItRuns(t *testing.T) { // R11
	t.Parallel()
	r, _, runs := apart(t)
	before := model.Moment{Epoch: 4 * day, Age: 1000}
	r.leadsWithout(runs, 5*day, before, before)
	r.stays(30 * time.Second)
	if p := r.core.apps["app-shop"].pending; len(p) > 0 && p[0].Code != model.CodeAlone {
		t.Errorf("pending: %+v", p)
	}
	runs.hello.MaxEpoch, runs.hello.WrittenMs = 4*day, 3_601_000
	runs.connect()
	r.stays(30 * time.Second)
	if r.wish.Safe == nil {
		t.Error("no safe mode")
	}
}

func TestSingleton_WaitsForASilentNodeAsLongAsItMayRunThere(t *testing.T) { // R11
	t.Parallel()
	r, _, runs := apart(t)
	before := model.Moment{Epoch: 4 * day, Age: 1000}
	r.leadsWithout(runs, 5*day, before, before)
	r.stays(75 * time.Second)
	runs.has = map[string]model.Observed{} // its agent ends singletons of which no leader hears
	r.settle()
	if release, node := r.serves(t); release != "rel-shop-1" || node == runs.NodeID() {
		t.Errorf("%s serves on %s", release, node)
	}
}

// What the term in which safe mode ended knew of nodes the next one does not.
func TestSingleton_IsNotStartedBesideAStrayWhenLeadersChangeAfterSafeMode(t *testing.T) { // R11
	t.Parallel()
	r, _, runs := apart(t)
	r.term(5*day, model.Moment{Epoch: 4 * day, Age: 1000}, model.Moment{Epoch: 4 * day, Age: 3_601_000})
	r.round()
	r.endSafeMode()
	r.round()
	if r.core.safe != nil || !r.core.believed {
		t.Fatal("safe mode lasts")
	}
	m := model.Moment{Epoch: 5 * day, Age: 10}
	r.leadsWithout(runs, 6*day, m, m)
	r.stays(10 * time.Second)
	runs.connect()
	r.stays(30 * time.Second)
	r.pass(time.Minute)
	r.settle()
	if release, _ := r.serves(t); release != "rel-shop-1" {
		t.Errorf("%s serves", release)
	}
}

// No node that came vouches for the end of what the database knows: the one that
// has what runs may not be in it.
func TestSingleton_WaitsForNodesThatTheDatabaseDoesNotKnowIfNobodyVouchesForIt(t *testing.T) { // R11
	t.Parallel()
	for vouches, wait := range map[bool]time.Duration{false: 75 * time.Second, true: 0} {
		r, empty, runs := apart(t)
		delete(r.nodes, runs.NodeID())
		delete(r.agents, runs.NodeID())
		before := model.Moment{Epoch: 4 * day, Age: 1000}
		told := model.Moment{}
		if vouches {
			told = before
		}
		r.term(5*day, before, told)
		r.stays(wait)
		r.settle()
		if _, node := r.serves(t); node != empty.NodeID() {
			t.Errorf("it is on %s", node)
		}
	}
}

// A node that is new, or whose engine is away, holds nothing up once it has told.
func TestSingleton_NodesThatHaveToldHoldNothingUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.node("n1", 1024)
	sick := r.node("n2", 1024)
	r.settle()
	sick.engine = "it hangs"
	m := model.Moment{Epoch: 4 * day, Age: 1000}
	r.term(5*day, m, m)
	r.edit("shop", func(a *model.App) { a.Singleton = true })
	r.deploy("shop", 1)
	r.settle()
	if _, node := r.serves(t); node != "n1" {
		t.Errorf("it is on %s", node)
	}
	if took := r.now.Sub(r.core.began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}
