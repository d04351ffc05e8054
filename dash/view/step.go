package view

import (
	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// Step is one stage of a deploy. Class and Icon say done, busy, bad or nothing yet.
type Step struct {
	Class string
	Icon  string
	Name  string
	Text  string
}

// The four stages of a deploy, by their place.
const (
	stageUpload = iota
	stageBuild
	stageRollout
	stageLive
)

// deploySteps draws where a deploy is: upload → build → rollout → live.
func deploySteps(lang string, d api.Deploy) []Step {
	at, bad := deployStage(d)
	names := []string{"step.upload", "step.build", "step.rollout", "step.live"}
	texts := []string{uploadText(d), buildText(lang, d), rolloutText(lang, d), liveText(d)}
	out := make([]Step, len(names))
	for i, key := range names {
		out[i] = Step{Icon: "off", Name: Text(lang, key), Text: texts[i]}
		switch {
		case i < at || d.Done && d.OK:
			out[i].Class, out[i].Icon = "done", "ok"
		case i == at && bad:
			out[i].Class, out[i].Icon = "bad", "bad"
		case i == at:
			out[i].Class, out[i].Icon = "busy", "busy"
		}
	}
	return out
}

// deployStage is the stage a deploy is in, and whether it ended there badly.
func deployStage(d api.Deploy) (at int, bad bool) {
	bad = d.Done && !d.OK
	switch {
	case d.Done && d.OK:
		return stageLive, false
	case d.Build != nil && d.Build.Status != string(model.BuildSucceeded):
		return stageBuild, bad
	}
	return stageRollout, bad
}

func uploadText(d api.Deploy) string {
	if d.Build == nil {
		return ""
	}
	if d.Build.Size > 0 {
		return d.Build.Filename + " · " + byteSize(d.Build.Size)
	}
	if d.Build.ImageRef != "" {
		return d.Build.ImageRef
	}
	return d.Build.Filename
}

func buildText(lang string, d api.Deploy) string {
	if d.Build == nil {
		return ""
	}
	s := buildBadge(lang, *d.Build).Text
	if d.Build.Runtime != "" {
		s += " · " + d.Build.Runtime
	}
	if d.Build.Status == string(model.BuildRunning) && d.Build.Step != "" {
		s += " · " + d.Build.Step
	}
	return s
}

func rolloutText(lang string, d api.Deploy) string {
	if d.Release == "" {
		return ""
	}
	ready := 0
	for _, i := range d.Instances {
		if i.Release == d.Release && i.Ready {
			ready++
		}
	}
	return Text(lang, "step.ready", d.Release, ready)
}

func liveText(d api.Deploy) string {
	if d.Done && d.OK {
		return bareURL(d.URL)
	}
	return ""
}

// deployError is what a deploy that ended badly ran into, or nil.
func deployError(d api.Deploy) *model.Error {
	switch {
	case d.Error != nil:
		return d.Error
	case d.Deployment != nil && d.Deployment.Error != nil:
		return d.Deployment.Error
	case d.Build != nil:
		return d.Build.Error
	}
	return nil
}
