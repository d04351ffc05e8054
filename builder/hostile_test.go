package builder

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

// TestWork_AHostileDockerfileEndsInAClearError gives the engine what people have tried on builders, each by the file that does it.
func TestWork_AHostileDockerfileEndsInAClearError(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pushRealBase("binary")
	r.cfg.DockerHost = testenv.Docker(t)
	r.start()
	t.Cleanup(r.wantNothingLeft)
	for _, c := range []struct {
		name, text string
		code       model.Code
		says       string
	}{
		{"an address of the machine's surroundings", "ADD http://169.254.169.254/latest/meta-data /x\n", model.CodeBadRuntime, "line 2"},
		{"the network in a RUN", "SHELL [\"/bin/bash\", \"-c\"]\nRUN cat < /dev/tcp/169.254.169.254/80\nCMD [\"x\"]\n", model.CodeBuildFailed, "non-zero code"},
		{"the engine's socket", "RUN test -S /var/run/docker.sock\nCMD [\"x\"]\n", model.CodeBuildFailed, "non-zero code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := r.in(t)
			b := r.wait(r.queue("a.tar.gz", tarGz(t, "Dockerfile", "FROM dinp/base/binary\n"+c.text), "").ID)
			if b.Error == nil || b.Error.Code != c.code || !strings.Contains(b.Error.Message, c.says) || b.Error.Next == "" {
				t.Errorf("error %+v, want %s with %q", b.Error, c.code, c.says)
			}
		})
	}
}

func TestWork_ARunThatNeverEndsIsStoppedAtTheDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pushRealBase("binary")
	r.cfg.DockerHost, r.cfg.BuildTimeout = testenv.Docker(t), 5*time.Second
	r.start()
	b := r.wait(r.queue("a.tar.gz", tarGz(t, "Dockerfile", "FROM dinp/base/binary\nRUN while :; do sleep 1; done\nCMD [\"x\"]\n"), "").ID)
	if b.Status != model.BuildFailed || b.Error == nil || b.Error.Code != model.CodeBuildStopped || !strings.Contains(b.Error.Message, "after 5s") || b.Error.Next == "" {
		t.Errorf("build %+v, error %+v", b, b.Error)
	}
	r.wantNothingLeft()
}

func TestWork_ALogFloodIsCutAtTheLimitAndTheBuildAtIts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pushRealBase("binary")
	r.cfg.DockerHost, r.cfg.Lease = testenv.Docker(t), 10*time.Minute // which builder has it is not what is tested
	r.start()
	finite := r.queue("a.tar.gz", tarGz(t, "Dockerfile", "FROM dinp/base/binary\nRUN yes flood | head -n 20000\nCMD [\"x\"]\n"), "")
	endless := r.queue("a.tar.gz", tarGz(t, "Dockerfile", "FROM dinp/base/binary\nRUN yes flood\nCMD [\"x\"]\n"), "")
	testenv.Eventually(t, 5*time.Minute, func() error { // it goes on meanwhile
		if !strings.Contains(r.log(endless.ID), "not kept") {
			return errors.New("the endless flood is not cut yet")
		}
		return nil
	})
	_, err := r.store.CancelBuild(t.Context(), endless.ID, somebody)
	must(t, err)
	if b := r.wait(endless.ID); b.Status != model.BuildCancelled {
		t.Errorf("the endless one: %+v, error %+v", b, b.Error)
	}
	if b := r.wait(finite.ID); b.Status != model.BuildSucceeded {
		t.Errorf("the one with an end: %+v, error %+v", b, b.Error)
	}
	for _, id := range []string{finite.ID, endless.ID} {
		if n := strings.Count(r.log(id), "flood\n"); n < maxOutputLines-100 || n > maxOutputLines {
			t.Errorf("%d lines of the flood were kept, want about %d", n, maxOutputLines)
		}
	}
}
