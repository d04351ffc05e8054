package dash

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/bom"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/provenance"
)

const apiBase = "/api/v1"

// endpoint is one line of the API's map: what is served, and what openapi.json
// says of it.
type endpoint struct {
	method, path string // in gin's form, under apiBase
	handle       gin.HandlerFunc
	summary      string
	query        []param
	body, answer any    // values of the types in JSON; nil: none
	status       int    // of success; 0: 200
	media        string // of the answer, or of a raw body with rawBody; "": JSON
	open         bool   // without a login
	rawBody      bool   // read as a stream, not limited like JSON
	secret       bool   // the answer must not be kept for an Idempotency-Key
}

// param is a query parameter.
type param struct{ name, kind, text string }

var (
	paging   = []param{{"after", "string", "Next of the page before"}, {"limit", "integer", "items of a page, at most 500"}}
	backward = []param{{"before", "string", "Next of the page before"}, {"limit", "integer", "items of a page, at most 500"}}
	eventing = append([]param{{"after", "string", "only newer than this ID, oldest first"}}, backward...)
	waiting  = []param{{"wait", "boolean", "answer when the release serves, or failed"}, {"timeout", "string", "how long to wait, as 10m"}}
	matching = "generation in If-Match or in the body; another one is refused with 412"
)

// registerAPI adds the REST API.
func (d *Dash) registerAPI(r *gin.Engine) {
	g := r.Group(apiBase)
	for _, e := range d.endpoints() {
		g.Handle(e.method, e.path, d.chain(e)...)
	}
}

// chain is what a request goes through before its handler.
func (d *Dash) chain(e endpoint) []gin.HandlerFunc {
	var out []gin.HandlerFunc
	if !e.open {
		out = append(out, d.requireActor)
	}
	if !e.rawBody {
		out = append(out, limitBody)
	}
	if !e.open && !e.rawBody && isWrite(e.method) {
		out = append(out, d.idempotent(!e.secret))
	}
	return append(out, e.handle)
}

func isWrite(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// endpoints is the API's whole map.
func (d *Dash) endpoints() []endpoint {
	var out []endpoint
	for _, part := range [][]endpoint{d.appEndpoints(), d.deployEndpoints(), d.watchEndpoints(), d.accountEndpoints(), d.certificateEndpoints(), d.identityEndpoints()} {
		out = append(out, part...)
	}
	return out
}

func (d *Dash) appEndpoints() []endpoint {
	return []endpoint{
		{method: "GET", path: "/apps", handle: d.getApps, summary: "List apps", query: paging, answer: api.Page[api.App]{}},
		{method: "POST", path: "/apps", handle: d.postApps, summary: "Create an app", body: api.CreateApp{}, answer: api.App{}, status: 201},
		{method: "GET", path: "/apps/:app", handle: d.getApp, summary: "Tell an app with its live state", answer: api.App{}},
		{method: "PATCH", path: "/apps/:app", handle: d.patchApp, summary: "Change an app; " + matching, body: api.EditApp{}, answer: api.App{}},
		{method: "DELETE", path: "/apps/:app", handle: d.deleteApp, summary: "Delete an app", status: 204},
		{method: "POST", path: "/apps/:app/undelete", handle: d.postUndelete, summary: "Bring a deleted app back", answer: api.App{}},
		{method: "POST", path: "/apps/:app/scale", handle: d.postScale, summary: "Set the number of instances; " + matching, body: api.Scale{}, answer: api.App{}},
		{method: "POST", path: "/apps/:app/restart", handle: d.postRestart, summary: "Replace every instance, one after the other", answer: api.Release{}, status: 202},
		{method: "GET", path: "/apps/:app/env", handle: d.getEnv, summary: "Read the environment", answer: api.Env{}},
		{method: "PUT", path: "/apps/:app/env", handle: d.putEnv, summary: "Replace the environment; generation in If-Match", body: api.Env{}, answer: api.Env{}},
		{method: "PATCH", path: "/apps/:app/env", handle: d.patchEnv, summary: "Set and unset variables; " + matching, body: api.EditEnv{}, answer: api.Env{}},
		{method: "GET", path: "/apps/:app/routing", handle: d.getRouting, summary: "Read how routers treat the app's requests", answer: api.Routing{}},
		{method: "PATCH", path: "/apps/:app/routing", handle: d.patchRouting, summary: "Change how routers treat the app's requests; " + matching, body: api.EditRouting{}, answer: api.Routing{}},
		{method: "GET", path: "/apps/:app/domains", handle: d.getDomains, summary: "List custom domains", answer: api.Page[api.Domain]{}},
		{method: "POST", path: "/apps/:app/domains", handle: d.postDomains, summary: "Bind a domain: a host name, *.example.com for all names one label below, example.com/api for a path and all below", body: api.Domain{}, answer: api.Domain{}, status: 201},
		{method: "DELETE", path: "/apps/:app/domains/*host", handle: d.deleteDomain, summary: "Unbind a domain", status: 204},
		{method: "GET", path: "/apps/:app/releases", handle: d.getReleases, summary: "List releases, newest first", query: backward, answer: api.Page[api.Release]{}},
		{method: "GET", path: "/apps/:app/releases/:version", handle: d.getRelease, summary: "Tell a release", answer: api.Release{}},
		{method: "GET", path: "/apps/:app/releases/:version/deploy", handle: d.getReleaseDeploy, summary: "Tell how the rollout of a release goes on; as an event stream by Accept", answer: api.Deploy{}},
		{method: "PUT", path: "/apps/:app/releases/:version/pin", handle: d.putPin, summary: "Keep a release's image and artifact for ever", answer: api.Release{}},
		{method: "DELETE", path: "/apps/:app/releases/:version/pin", handle: d.deletePin, summary: "Let a release go when it is old", answer: api.Release{}},
		{method: "POST", path: "/apps/:app/rollback", handle: d.postRollback, summary: "Go back to an earlier release, without a build", body: api.Rollback{}, answer: api.Release{}, status: 202},
		{method: "POST", path: "/apps/:app/promote", handle: d.postPromote, summary: "Let a canary or a bluegreen release take over without waiting and judging any more", body: api.Promote{}, answer: api.Release{}, status: 202},
	}
}

func (d *Dash) deployEndpoints() []endpoint {
	return []endpoint{
		{method: "PUT", path: "/apps/:app/deploy", handle: d.putDeploy, summary: "Deploy the artifact in the body; creates the app if it is new", query: deployParams, rawBody: true, media: "application/octet-stream", answer: api.Deploy{}, status: 202},
		{method: "POST", path: "/apps/:app/releases", handle: d.postReleases, summary: "Deploy an existing image, an artifact by its sha256, or one that is fetched from a URL", query: waiting, body: api.NewRelease{}, answer: api.Deploy{}, status: 202},
		{method: "GET", path: "/apps/:app/builds", handle: d.getBuilds, summary: "List an app's builds, newest first", query: backward, answer: api.Page[api.Build]{}},
		{method: "GET", path: "/builds", handle: d.getBuilds, summary: "List builds, newest first", query: append([]param{{"app", "string", "only of this app"}}, backward...), answer: api.Page[api.Build]{}},
		{method: "GET", path: "/builds/:id", handle: d.getBuild, summary: "Tell a build", answer: api.Build{}},
		{method: "GET", path: "/builds/:id/log", handle: d.getBuildLog, summary: "Read a build's log: text, JSON lines of a page, or an event stream, by Accept", query: []param{{"follow", "boolean", "until the build ends"}, {"after", "integer", "only after this line"}}, media: "text/plain"},
		{method: "POST", path: "/builds/:id/cancel", handle: d.postCancel, summary: "Cancel a build", answer: api.Build{}},
		{method: "GET", path: "/builds/:id/deploy", handle: d.getDeploy, summary: "Tell how a deploy goes on; as an event stream by Accept: deploy, log, done", answer: api.Deploy{}},
		{method: "GET", path: "/builds/:id/provenance", handle: d.getProvenance, summary: "Read a build's signed statement of provenance: a DSSE envelope with an in-toto statement, SLSA v1", answer: provenance.Envelope{}},
		{method: "GET", path: "/builds/:id/verify", handle: d.getVerification, summary: "Check a build's statement against keys, database and registry", answer: api.Verification{}},
		{method: "GET", path: "/builds/:id/sbom", handle: d.getBill, summary: "Read the bill of materials of a build's artifact, as CycloneDX 1.5", answer: bom.Document{}},
		{method: "POST", path: "/rebases", handle: d.postRebases, summary: "Rebuild the apps of a runtime on its newest base image and roll them in batches, or tell which; while one goes on, that is answered", body: api.NewRebase{}, answer: api.Rebase{}, status: 202},
		{method: "GET", path: "/rebases", handle: d.getRebases, summary: "List rebases, newest first", query: backward, answer: api.Page[api.Rebase]{}},
		{method: "GET", path: "/rebases/:id", handle: d.getRebase, summary: "Tell how a rebase goes on", answer: api.Rebase{}},
		{method: "POST", path: "/rebases/:id/stop", handle: d.postStopRebase, summary: "Let a rebase begin no more apps", answer: api.Rebase{}},
		{method: "POST", path: "/gc", handle: d.postCollect, summary: "Remove images and artifacts that no kept release needs, or tell which", body: api.Collect{}, answer: api.Collection{}},
		{method: "GET", path: "/signers", handle: d.getSigners, summary: "List the public keys of the builders", answer: api.Signers{}},
		{method: "GET", path: "/components", handle: d.getComponents, summary: "Find packages in what apps run", query: []param{{"q", "string", "a name and bounds of its version, as log4j-core<2.17"}}, answer: api.ComponentSearch{}},
		{method: "GET", path: "/artifacts/:sha256", handle: d.getArtifact, summary: "Tell of an artifact", answer: api.Artifact{}},
		{method: "HEAD", path: "/artifacts/:sha256", handle: d.getArtifact, summary: "Ask whether the platform has an artifact"},
		{method: "POST", path: "/apps/:app/uploads", handle: d.postUploads, summary: "Ask which parts of a file (gear hash, as common/parts cuts it) the app's last artifacts do not have, and begin an upload of these", body: api.NewUpload{}, answer: api.PlannedUpload{}},
		{method: "OPTIONS", path: "/artifacts", handle: d.optionsArtifacts, summary: "Tell the version and limits of tus", status: 204, open: true},
		{method: "POST", path: "/artifacts", handle: d.postArtifacts, summary: "Begin a resumable upload (tus): Upload-Length, Upload-Metadata", status: 201, rawBody: true},
		{method: "HEAD", path: "/artifacts/uploads/:id", handle: d.headUpload, summary: "Ask how far an upload is: Upload-Offset"},
		{method: "PATCH", path: "/artifacts/uploads/:id", handle: d.patchUpload, summary: "Go on with an upload; at its end Dinp-Artifact names the sha256", status: 204, rawBody: true, media: "application/offset+octet-stream"},
		{method: "DELETE", path: "/artifacts/uploads/:id", handle: d.deleteUpload, summary: "Give an upload up", status: 204},
	}
}

func (d *Dash) watchEndpoints() []endpoint {
	return []endpoint{
		{method: "GET", path: "/apps/:app/instances", handle: d.getInstances, summary: "List instances, and slots that wait for one", answer: api.Instances{}},
		{method: "GET", path: "/apps/:app/instances/:id/explain", handle: d.getExplain, summary: "Explain an instance, step by step", answer: api.Explain{}},
		{method: "GET", path: "/apps/:app/explain", handle: d.getExplain, summary: "Explain an app, step by step", answer: api.Explain{}},
		{method: "GET", path: "/apps/:app/logs", handle: d.getLogs, summary: "Read the instances' output: a page of JSON, lines of JSON, text or an event stream, by Accept", query: logParams, media: "application/x-ndjson", answer: api.LogLine{}},
		{method: "GET", path: "/apps/:app/events", handle: d.getEvents, summary: "List what happened to an app; as an event stream by Accept", query: eventing, answer: api.Page[api.Event]{}},
		{method: "GET", path: "/events", handle: d.getEvents, summary: "List what happened; as an event stream by Accept", query: append([]param{{"app", "string", "only of this app"}}, eventing...), answer: api.Page[api.Event]{}},
		{method: "GET", path: "/audit", handle: d.getAudit, summary: "List everything that was done, for admins", query: eventing, answer: api.Page[api.Event]{}},
		{method: "GET", path: "/apps/:app/metrics", handle: d.getMetrics, summary: "Tell the rates and latencies of an app's requests: the last minute by release, and the last hour by minute", answer: api.Traffic{}},
		{method: "GET", path: "/traffic", handle: d.getTraffic, summary: "List apps with requests in the last minute, the busiest first", answer: api.Page[api.Traffic]{}},
		{method: "GET", path: "/nodes", handle: d.getNodes, summary: "List nodes and routers", answer: api.Nodes{}},
		{method: "GET", path: "/nodes/:node", handle: d.getNode, summary: "Tell a node, by name or ID", answer: api.Node{}},
		{method: "PATCH", path: "/nodes/:node", handle: d.patchNode, summary: "Cordon, drain or activate a node", body: api.EditNode{}, answer: api.Node{}},
		{method: "DELETE", path: "/nodes/:node", handle: d.deleteNode, summary: "Forget a node that never returns", status: 204},
		{method: "GET", path: "/whatif", handle: d.getWhatIf, summary: "Say what a change would bring, without making it", query: whatIfParams, answer: api.WhatIf{}},
		{method: "GET", path: "/safe-mode", handle: d.getSafeMode, summary: "Tell whether the leader changes nothing after a restore, and what it would do", answer: api.SafeMode{}},
		{method: "DELETE", path: "/safe-mode", handle: d.deleteSafeMode, summary: "End safe mode: the database holds what is wanted", status: 204},
		{method: "GET", path: "/pools", handle: d.getPools, summary: "List the pools of nodes", answer: api.Page[api.Pool]{}},
		{method: "PUT", path: "/pools/:pool", handle: d.putPool, summary: "Say how a pool is filled: spread or binpack", body: api.Pool{}, answer: api.Pool{}},
		{method: "GET", path: "/version", handle: d.getVersion, summary: "Tell the version, and where apps answer", answer: api.Version{}, open: true},
		{method: "GET", path: "/openapi.json", handle: d.getOpenAPI, summary: "Describe this API", answer: map[string]any{}, open: true},
	}
}

func (d *Dash) accountEndpoints() []endpoint {
	return []endpoint{
		{method: "POST", path: "/login", handle: d.postLogin, summary: "Log in and make a token", body: api.Login{}, answer: api.Token{}, open: true, secret: true},
		{method: "GET", path: "/whoami", handle: d.getWhoami, summary: "Tell who you are", answer: api.User{}},
		{method: "GET", path: "/users", handle: d.getUsers, summary: "List users", answer: api.Page[api.User]{}},
		{method: "POST", path: "/users", handle: d.postUsers, summary: "Create a user", body: api.NewUser{}, answer: api.User{}, status: 201},
		{method: "DELETE", path: "/users/:user", handle: d.deleteUser, summary: "Remove a user", status: 204},
		{method: "PUT", path: "/users/:user/password", handle: d.putPassword, summary: "Set a password", body: newPassword{}, status: 204},
		{method: "GET", path: "/teams", handle: d.getTeams, summary: "List teams", answer: api.Page[api.Team]{}},
		{method: "POST", path: "/teams", handle: d.postTeams, summary: "Create a team", body: api.NewTeam{}, answer: api.Team{}, status: 201},
		{method: "PUT", path: "/teams/:team/members/:user", handle: d.putMember, summary: "Give a user a role in a team; an empty one takes it away", body: api.Member{}, status: 204},
		{method: "DELETE", path: "/teams/:team/members/:user", handle: d.deleteMember, summary: "Take a user out of a team", status: 204},
		{method: "GET", path: "/tokens", handle: d.getTokens, summary: "List your tokens", answer: api.Page[api.Token]{}},
		{method: "POST", path: "/tokens", handle: d.postTokens, summary: "Make a token; its secret is told this once", body: api.NewToken{}, answer: api.Token{}, status: 201, secret: true},
		{method: "DELETE", path: "/tokens/:id", handle: d.deleteToken, summary: "Revoke a token", status: 204},
	}
}

var (
	deployParams = append([]param{
		{"filename", "string", "name of the file; tells .war from .zip"}, {"runtime", "string", "static, binary, tomcat, …; left out, the builder tells"},
		{"team", "string", "of an app that is new"}, {"instances", "integer", ""}, {"memory", "string", "as 256M"}, {"cpu", "string", "cores, as 0.5"},
		{"port", "integer", "the app listens on"}, {"health", "string", "path that is probed"}, {"env", "string", "K=V; may be given more than once"},
		{"deadline", "string", "for the release to become ready, as 5m"}, {"drain", "string", "as 10s"}, {"grace", "string", "as 30s"},
		{"strategy", "string", strings.Join(model.Strategies, ", ")}, {"steps", "string", "of a canary: shares of the requests in percent, as 10,50"}, {"observe", "string", "how long each of them lasts; of bluegreen: how long the old release stays, as 5m"}, {"note", "string", "why"}, {"sha256", "string", "of the body; if the platform has it, the body is not read"}, {"job", "string", "of CI: a name or address, for the statement of provenance"},
	}, waiting...)
	whatIfParams = []param{
		{"drain", "string", "a node, by name or ID"}, {"lose", "string", "a node, by name or ID"}, {"lose_zone", "string", "a zone"},
		{"app", "string", "an app: with add, or with what its next release is to have"}, {"add", "integer", "instances"},
		{"instances", "integer", ""}, {"memory", "string", "as 256M"}, {"cpu", "string", "cores, as 0.5"}, {"strategy", "string", strings.Join(model.Strategies, ", ")},
	}
	logParams = []param{
		{"tail", "integer", "last lines, 200 if left out"}, {"since", "string", "a duration, as 10m, or a time"}, {"follow", "boolean", "go on as lines come"},
		{"instance", "string", "ID, the beginning of one, or a slot"}, {"release", "string", "as v3"},
	}
)
