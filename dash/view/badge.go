package view

import (
	"html/template"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// Badge tells a state by colour, shape and word at once. Class and Icon are ok,
// busy, warn, bad or off.
type Badge struct {
	Class string
	Icon  string
	Text  string
}

func badge(lang, class, key string) Badge {
	return Badge{Class: class, Icon: class, Text: Text(lang, key)}
}

// appBadge is an app's state in a word; first match wins, what a person did on
// purpose comes before what happened to it.
func appBadge(lang string, a api.App) Badge {
	failed := a.Deployment != nil && a.Deployment.Status == string(model.DeploymentFailed)
	moving := a.Deployment != nil && !(model.Deployment{Status: model.DeploymentStatus(a.Deployment.Status)}).Ended()
	switch {
	case a.Maintenance:
		return badge(lang, "warn", "state.maintenance")
	case a.Paused:
		return badge(lang, "warn", "state.paused")
	case a.Release == "":
		return badge(lang, "off", "state.empty")
	case a.Instances == 0:
		return badge(lang, "off", "state.zero")
	case failed && a.Ready == 0:
		return badge(lang, "bad", "state.failed")
	case failed:
		return badge(lang, "warn", "state.kept")
	case moving:
		return badge(lang, "busy", "state.deploying")
	case a.Ready >= a.Instances:
		return badge(lang, "ok", "state.up")
	case a.Ready > 0:
		return badge(lang, "warn", "state.partly")
	}
	return badge(lang, "bad", "state.down")
}

func instanceBadge(lang string, i api.Instance) Badge {
	switch {
	case i.Phase == "gone":
		return badge(lang, "off", "phase.gone")
	case i.Stopping || i.Phase == "draining" || i.Phase == "stopping":
		return badge(lang, "off", "phase.stopping")
	case i.Phase == "running" && i.Ready:
		return badge(lang, "ok", "phase.ready")
	case i.Phase == "running" && i.Code != "":
		return badge(lang, "bad", "phase.unhealthy")
	case i.Phase == "unknown" || i.Phase == "lost":
		return badge(lang, "warn", "phase."+i.Phase)
	case i.Code != "":
		return Badge{Class: "warn", Icon: "warn", Text: phaseText(lang, i.Phase)}
	}
	return Badge{Class: "busy", Icon: "busy", Text: phaseText(lang, i.Phase)}
}

// phaseText names a phase; one this version does not know yet is shown as it is.
func phaseText(lang, phase string) string {
	if s, err := text(lang, "phase."+phase); err == nil {
		return s
	}
	return phase
}

func buildBadge(lang string, b api.Build) Badge {
	class := map[string]string{"queued": "off", "running": "busy", "succeeded": "ok", "failed": "bad", "cancelled": "off"}[b.Status]
	if class == "" {
		return Badge{Class: "off", Icon: "off", Text: b.Status}
	}
	return badge(lang, class, "build."+b.Status)
}

func rebaseBadge(lang string, r api.Rebase) Badge {
	class := map[string]string{"running": "busy", "done": "ok", "stopped": "bad"}[r.Status]
	if class == "" {
		return Badge{Class: "off", Icon: "off", Text: r.Status}
	}
	return badge(lang, class, "rebase."+r.Status)
}

func rebaseStepBadge(lang string, a api.RebaseApp) Badge {
	class := map[string]string{"waiting": "off", "building": "busy", "rolling": "busy", "done": "ok", "unchanged": "off", "superseded": "off", "failed": "bad"}[a.Step]
	if class == "" {
		return Badge{Class: "off", Icon: "off", Text: a.Step}
	}
	return badge(lang, class, "rebase.step."+a.Step)
}

// rebaseCounts is how far the apps of a rebase are.
func rebaseCounts(lang string, r api.Rebase) string {
	ended := 0
	for _, a := range r.Apps {
		if model.RebaseStep(a.Step).Ended() {
			ended++
		}
	}
	return Text(lang, "rebase.counts", ended, len(r.Apps))
}

// releaseBadge says what came of a release.
func releaseBadge(lang string, r api.Release) Badge {
	d := r.Deployment
	switch {
	case r.Serving && r.Wanted:
		return badge(lang, "ok", "rel.serving")
	case r.Serving:
		return badge(lang, "warn", "rel.kept")
	case d != nil && d.Status == string(model.DeploymentFailed):
		return badge(lang, "bad", "rel.failed")
	case r.Wanted:
		return badge(lang, "busy", "rel.moving")
	case d != nil && d.Status == string(model.DeploymentSuperseded):
		return badge(lang, "off", "rel.superseded")
	}
	return badge(lang, "off", "rel.past")
}

func nodeBadge(lang string, n api.Node) Badge {
	switch model.NodeStatus(n.Status) {
	case model.NodeReady:
		return badge(lang, "ok", "node.ready")
	case model.NodeUnknown:
		return badge(lang, "warn", "node.unknown")
	case model.NodeLost:
		return badge(lang, "bad", "node.lost")
	case model.NodeDockerDown:
		return badge(lang, "bad", "node.docker")
	}
	return Badge{Class: "off", Icon: "off", Text: n.Status}
}

// shapes are the icons: one path each, drawn in the text's colour.
var shapes = map[string]string{
	"ok":     `<circle cx="12" cy="12" r="9"/><path d="m8 12.3 2.8 2.800L16 9.5"/>`,
	"busy":   `<path d="M12 3a9 9 0 1 1-8.5 6"/>`,
	"warn":   `<path d="M12 3.5 21.5 20h-19z"/><path d="M12 10v4.500M12 17.300v.1"/>`,
	"bad":    `<path d="M8.2 3h7.600L21 8.200v7.600L15.8 21H8.200L3 15.800V8.200z"/><path d="m9 9 6 6m0-6-6 6"/>`,
	"off":    `<circle cx="12" cy="12" r="9" stroke-dasharray="3 3"/><path d="M8.5 12h7"/>`,
	"upload": `<path d="M12 16V4m-5 5 5-5 5 5M4 16v4h16v-4"/>`,
	"rocket": `<path d="M12 19V5m-6 6 6-6 6 6"/>`,
	"open":   `<path d="M14 4h6v6m0-6-9 9M18 14v6H4V6h6"/>`,
	"logo":   `<path d="M12 2.8 20.5 7v10L12 21.2 3.5 17V7z"/><path d="M8 13.2 12 9l4 4.200M12 9v8"/>`,
}

// icon draws a shape. It is decoration: words beside it say the same.
func icon(name string) template.HTML {
	size, class := "16", ""
	switch name {
	case "busy":
		class = ` class="spin"`
	case "upload":
		size = "36"
	case "logo":
		size = "24"
	}
	return template.HTML(`<svg width="` + size + `" height="` + size + `"` + class + ` viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">` + shapes[name] + `</svg>`)
}
