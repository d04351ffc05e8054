package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/sql/store"
)

// herd is many agents and a health monitor in one process. They speak the real
// protocol over connections of their own; a container of theirs runs as soon as
// it is wanted, and is always healthy.
type herd struct {
	servers []string
	members []*member
	hands   chan struct{} // one for each that may shake hands at once
	counts  counters
}

type counters struct {
	sessions, starts, stops, instances atomic.Int64
	firstStart, lastAck                atomic.Int64 // unix nanoseconds
}

// tally is what a herd answers to "counts".
type tally struct {
	Sessions, Starts, Stops, Instances int64
	Connections                        int64 // that are good, those that stand by included
	FirstStart, LastAck                int64 // unix nanoseconds
}

// add adds what another herd has counted.
func (t *tally) add(o tally) {
	t.Sessions, t.Starts, t.Stops, t.Instances = t.Sessions+o.Sessions, t.Starts+o.Starts, t.Stops+o.Stops, t.Instances+o.Instances
	t.Connections += o.Connections
	if o.FirstStart != 0 && (t.FirstStart == 0 || o.FirstStart < t.FirstStart) {
		t.FirstStart = o.FirstStart
	}
	t.LastAck = max(t.LastAck, o.LastAck)
}

// member is one agent.
type member struct {
	herd  *herd
	id    string
	conns *follow.Conns

	established atomic.Bool // it is in session
	dead        atomic.Bool // says nothing and reads nothing any more, as a host without power

	mu        sync.Mutex
	instances map[string]model.Observed
	sum       wire.Sum
	epoch     int64
}

// runHerd is the process of a herd: it is told what to do by lines on its
// standard input and answers each with a line.
func runHerd(ctx context.Context, o order) error {
	st, authority, err := openStore(ctx, o.Database)
	if err != nil {
		return err
	}
	defer st.Close()
	h := &herd{servers: o.Servers, hands: make(chan struct{}, o.Hands)}
	if err := h.enrol(ctx, authority, o.First, o.Nodes); err != nil {
		return err
	}
	monitor, err := authority.Issue(ctx, pki.Identity{Role: pki.RoleMonitor, Name: "hm"})
	if err != nil {
		return err
	}
	for _, m := range h.members {
		go m.run(ctx)
	}
	if !o.Alone {
		go h.judge(ctx, monitor)
	}
	return serveOrders(ctx, func(word string, n int) (any, error) {
		switch word {
		case "counts":
			return h.tally(), nil
		case "die":
			return h.die(n), nil
		case "connect":
			for _, m := range h.members {
				m.conns.Connect()
			}
			return len(h.members), nil
		case "stock":
			return h.stock(ctx, st)
		case "profile":
			return n, profile(fmt.Sprintf("%s-%d", o.Profile, n))
		case "profiled":
			return n, profiled(fmt.Sprintf("%s-%d", o.Profile, n))
		}
		return nil, fmt.Errorf("no such order: %q", word)
	})
}

// enrol makes n agents from a number on, each with a certificate.
func (h *herd) enrol(ctx context.Context, a *enrol.Authority, first, n int) error {
	h.members = make([]*member, n)
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				id := memberID(first + i)
				key, err := a.Issue(ctx, pki.Identity{Role: pki.RoleAgent, Name: id})
				if err != nil {
					errs <- err
					return
				}
				conns := follow.NewConns(h.servers, func(addr string) (*grpc.ClientConn, error) {
					return follow.Dial(addr, key, grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10), grpc.WithKeepaliveParams(patient))
				})
				h.members[i] = &member{herd: h, id: id, conns: conns, instances: map[string]model.Observed{}}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func memberID(n int) string { return fmt.Sprintf("node-%08d", n) }

// stock gives the agents the instances that the database has for them, as if
// they had run for long, and returns how many it has in all. No server may run.
func (h *herd) stock(ctx context.Context, st *store.Store) (int, error) {
	w, err := st.World(ctx)
	if err != nil {
		return 0, err
	}
	members := map[string]*member{}
	for _, m := range h.members {
		members[m.id] = m
	}
	for _, i := range w.Instances {
		m := members[i.NodeID]
		if m == nil {
			continue // of another herd
		}
		m.mu.Lock()
		if _, has := m.instances[i.ID]; !has {
			m.put(running(i.ID, len(m.instances)))
		}
		m.mu.Unlock()
	}
	return len(w.Instances), nil
}

func (h *herd) tally() tally {
	c := &h.counts
	open := 0
	for _, m := range h.members {
		open += m.conns.Ready()
	}
	return tally{
		Connections: int64(open),
		Sessions:    c.sessions.Load(), Starts: c.starts.Load(), Stops: c.stops.Load(), Instances: c.instances.Load(),
		FirstStart: c.firstStart.Load(), LastAck: c.lastAck.Load(),
	}
}

// die takes the power from n agents and returns which.
func (h *herd) die(n int) []string {
	var out []string
	for k := range n {
		m := h.members[k*len(h.members)/n]
		m.dead.Store(true)
		out = append(out, m.id)
	}
	return out
}

// run keeps a session with the leader, searching for it as an agent does.
func (m *member) run(ctx context.Context) {
	search := follow.Search{Servers: m.herd.servers}
	defer m.conns.Close()
	go m.conns.StandBy(ctx, m.established.Load)
	addr := search.First()
	for ctx.Err() == nil && !m.dead.Load() {
		err := m.session(ctx, addr)
		established := m.established.Swap(false)
		if established {
			m.herd.counts.sessions.Add(-1)
		}
		m.conns.Ended(addr, err, established)
		var wait time.Duration
		addr, wait = search.Next(err, established, rand.Int64N)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// session runs one session to its end.
func (m *member) session(ctx context.Context, addr string) error {
	conn, err := m.conns.To(addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(answerBy, cancel)
	s, err := m.open(ctx, conn)
	late.Stop()
	if err != nil {
		return err
	}
	m.established.Store(true)
	m.herd.counts.sessions.Add(1)
	go s.talk(ctx, cancel)
	return s.obey()
}

// patient is how the herd's agents notice a leader that hangs: as others do, but
// much later. With 4 s, ten thousand that share a busy processor give their
// leader up for answers that lie in their own sockets, and all of them shake hands
// again, for which there is even less of it.
var patient = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 30 * time.Second, PermitWithoutStream: true}

// answerBy is how long a leader may take to answer a hello and to read a sync, as
// patiently as that.
const answerBy = time.Minute

// hands is how many of all agents shake hands at once. Each would have a
// processor of its own; ten thousand that share one, all of them halfway, are
// none of them done before the server gives up on them.
const hands = 64

// open says hello and tells everything.
func (m *member) open(ctx context.Context, conn *grpc.ClientConn) (s *memberStream, err error) {
	if s, err = m.greet(ctx, conn); err != nil {
		return nil, err
	}
	first, err := s.stream.Recv() // a server that knows of no leader takes its time
	if err != nil {
		return nil, err
	}
	if n := first.GetNotLeader(); n != nil {
		return nil, &follow.Moved{Addr: n.GetAddress()}
	}
	m.mu.Lock()
	m.epoch = first.GetEpoch()
	m.mu.Unlock()
	s.period = time.Duration(first.GetWelcome().GetHeartbeatMs()) * time.Millisecond
	m.herd.hands <- struct{}{}
	defer func() { <-m.herd.hands }()
	return s, s.sync()
}

// greet says hello, after a handshake unless the connection stood by.
func (m *member) greet(ctx context.Context, conn *grpc.ClientConn) (*memberStream, error) {
	m.herd.hands <- struct{}{}
	defer func() { <-m.herd.hands }()
	grpcStream, err := pb.NewAgentsClient(conn).Session(ctx)
	if err != nil {
		return nil, err
	}
	s := &memberStream{member: m, stream: grpcStream, fresh: make(chan *pb.InstanceStatus, 4*perNode)}
	return s, s.send(m.hello())
}

func (m *member) hello() *pb.AgentMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &pb.AgentMessage{Body: &pb.AgentMessage_Hello{Hello: &pb.Hello{
		NodeId: m.id, BootId: "1", Name: m.id, Address: "10.0.0.1", Zone: "zone-" + m.id[len(m.id)-1:],
		MemoryMib: 2 * perNode * 64, CpuMilli: 64000, MaxEpoch: m.epoch,
	}}}
}

// memberStream is one session's stream.
type memberStream struct {
	*member
	stream pb.Agents_SessionClient
	fresh  chan *pb.InstanceStatus
	period time.Duration // of heartbeats

	sending sync.Mutex // guards seq and the stream's sending side
	seq     uint64
}

func (s *memberStream) send(m *pb.AgentMessage) error {
	if s.dead.Load() {
		return nil
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	s.seq++
	m.Seq = s.seq
	return s.stream.Send(m)
}

func (s *memberStream) sync() error {
	msg := &pb.Sync{DockerOk: true}
	s.mu.Lock()
	for _, o := range s.instances {
		msg.Instances = append(msg.Instances, wire.FromObserved(o))
	}
	s.mu.Unlock()
	return s.send(&pb.AgentMessage{Body: &pb.AgentMessage_Sync{Sync: msg}})
}

// talk sends heartbeats, and what is new a tenth of a second after it was.
func (s *memberStream) talk(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	period := s.period
	beat := time.NewTimer(time.Duration(rand.Int64N(int64(period))))
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			beat.Reset(period - time.Duration(rand.Int64N(int64(period)/10+1)))
			err = s.beat()
		case one := <-s.fresh:
			err = s.report(ctx, one)
		}
		if err != nil {
			return
		}
	}
}

func (s *memberStream) beat() error {
	if s.dead.Load() {
		return nil
	}
	s.mu.Lock()
	digest := s.sum.Bytes()
	s.mu.Unlock()
	return s.send(&pb.AgentMessage{Body: &pb.AgentMessage_Heartbeat{Heartbeat: &pb.Heartbeat{Digest: digest, DockerOk: true}}})
}

func (s *memberStream) report(ctx context.Context, one *pb.InstanceStatus) error {
	all := []*pb.InstanceStatus{one}
	for over := time.After(100 * time.Millisecond); ; {
		select {
		case one := <-s.fresh:
			all = append(all, one)
			continue
		case <-over:
		case <-ctx.Done():
			return ctx.Err()
		}
		break
	}
	s.mu.Lock()
	for _, i := range all {
		s.put(wire.ToObserved(i))
	}
	s.mu.Unlock()
	err := s.send(&pb.AgentMessage{Body: &pb.AgentMessage_Report{Report: &pb.Report{Instances: all}}})
	s.herd.counts.lastAck.Store(time.Now().UnixNano())
	return err
}

// put needs mu. What the sum holds is what the leader was told.
func (m *member) put(o model.Observed) {
	if was, ok := m.instances[o.ID]; ok {
		m.sum.Remove(was)
		m.herd.counts.instances.Add(-1)
	}
	m.instances[o.ID] = o
	m.sum.Add(o)
	m.herd.counts.instances.Add(1)
}

// obey reads orders until the stream ends.
func (s *memberStream) obey() error {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return err
		}
		if err := s.order(m); err != nil {
			return err
		}
	}
}

func (s *memberStream) order(m *pb.ServerMessage) error {
	if s.dead.Load() {
		return nil
	}
	switch b := m.GetBody().(type) {
	case *pb.ServerMessage_Start:
		s.herd.counts.firstStart.CompareAndSwap(0, time.Now().UnixNano())
		n := s.herd.counts.starts.Add(1)
		s.fresh <- wire.FromObserved(running(b.Start.GetInstanceId(), int(n%30000)))
	case *pb.ServerMessage_Stop:
		s.herd.counts.stops.Add(1)
		s.fresh <- wire.FromObserved(model.Observed{ID: b.Stop.GetInstanceId(), Phase: model.PhaseGone, Gone: model.GoneExited})
	case *pb.ServerMessage_Forget:
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, id := range b.Forget.GetInstanceIds() {
			if was, ok := s.instances[id]; ok {
				s.sum.Remove(was)
				delete(s.instances, id)
				s.herd.counts.instances.Add(-1)
			}
		}
	case *pb.ServerMessage_Resync:
		return s.sync()
	}
	return nil
}
