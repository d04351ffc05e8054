package server

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestServer_ExplainsAndForetells(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	r.monitor(s.Addr(), healthy)
	r.agent("n1", s.Addr())
	r.agent("n2", s.Addr())
	conn, err := r.dial(s.Addr(), pki.RoleDash, "dash")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	leader := pb.NewPlatformClient(conn)
	r.wait("both nodes are ready", func() error { // else both instances may go to one
		all, err := leader.Nodes(t.Context(), &pb.NodesRequest{})
		if err != nil {
			return err
		}
		for _, n := range all.GetNodes() {
			if n.GetStatus() != string(model.NodeReady) {
				return fmt.Errorf("%s is %s", n.GetId(), n.GetStatus())
			}
		}
		if len(all.GetNodes()) != 2 {
			return fmt.Errorf("%d nodes", len(all.GetNodes()))
		}
		return nil
	})
	r.deploy("shop", 2)
	r.serving("shop", 1, 2)
	app, err := r.store.App(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}

	foretold, err := leader.WhatIf(t.Context(), &pb.WhatIfRequest{Drain: "n1"})
	if err != nil || !foretold.GetFits() || foretold.GetMoved() != 1 || foretold.GetMoves()[0].GetFrom() != "n1" || foretold.GetMoves()[0].GetTo() != "n2" {
		t.Fatalf("what if n1 is drained: %v, %v", foretold, err)
	}
	nodes, err := leader.Nodes(t.Context(), &pb.NodesRequest{})
	if err != nil || !nodes.GetSurvival().GetSurvives() || !nodes.GetSurvival().GetComplete() {
		t.Errorf("survival: %v, %v", nodes.GetSurvival(), err)
	}
	r.want("n1", model.Draining)
	r.wait("both are on n2", func() error {
		rows := r.rows("shop")
		for _, i := range rows {
			if i.NodeID != "n2" {
				return fmt.Errorf("%+v", rows)
			}
		}
		return nil
	})

	r.constrain("shop", "zone==nowhere")
	r.scale("shop", 3)
	r.wait("the third slot says why it is empty", func() error {
		e, err := leader.Explain(t.Context(), &pb.ExplainRequest{AppId: app.ID})
		if err != nil {
			return err
		}
		for _, step := range e.GetSteps() {
			if step.GetWhy() == "no-room" && step.GetCode() == string(model.CodeNoMatch) && len(step.GetMisses()) == 2 && strings.Contains(step.GetNext(), "dinp place shop any") {
				return nil
			}
		}
		return fmt.Errorf("%v", e)
	})
	if _, err := leader.Explain(t.Context(), &pb.ExplainRequest{AppId: "nothing"}); status.Code(err) != codes.NotFound {
		t.Errorf("an app that is not there: %v", err)
	}
	if _, err := leader.WhatIf(t.Context(), &pb.WhatIfRequest{Drain: "nobody"}); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "no node nobody") {
		t.Errorf("a node that is not there: %v", err)
	}
}
