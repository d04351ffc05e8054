package proxy

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/dinp/dinp/common/model"
)

// Why a request did not go well, as the access log says it.
const (
	WhyClientGone   = "client_gone"
	WhyBackendBroke = "backend_broke" // within the response
)

// refusal is an answer of the router itself.
type refusal struct {
	code       model.Code
	status     int
	why        string
	retryAfter string // seconds
	location   string // of a redirect, which has no code
	challenge  string // of a 401
	last       bool   // the connection ends with it: the request was not read
}

var (
	refusedConnect = refusal{code: model.CodeBadRequest, status: http.StatusMethodNotAllowed, why: "connect"}
	refusedTarget  = refusal{code: model.CodeBadRequest, status: http.StatusBadRequest, why: "bad_target"}
	tooMany        = refusal{code: model.CodeSourceLimit, status: http.StatusTooManyRequests, why: "source_rate", retryAfter: "1"}
	noSuchHost     = refusal{code: model.CodeNoSuchHost, status: http.StatusNotFound, why: "no_host"}
	maintenance    = refusal{code: model.CodeMaintenance, status: http.StatusServiceUnavailable, why: "maintenance", retryAfter: "30"}
	noReady        = refusal{code: model.CodeNoReady, status: http.StatusServiceUnavailable, why: "no_endpoint", retryAfter: "2"}
	badGateway     = refusal{code: model.CodeBadGateway, status: http.StatusBadGateway}
	gatewaySlow    = refusal{code: model.CodeGatewaySlow, status: http.StatusGatewayTimeout, why: string(failTimeout)}
)

// failed is ReverseProxy's error handler: nothing has been answered yet.
func (p *Proxy) failed(_ http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	f := failOther
	var attempt *attemptError
	if errors.As(err, &attempt) {
		f = attempt.failure
	}
	p.log.Debug("request failed", "request", x.RequestID, "app", x.App, "instance", x.Instance, "attempts", x.Attempts, "why", string(f), "err", err)
	switch {
	case f == failClient:
		x.Why = cmp.Or(x.endedBy(), WhyClientGone)
		panic(http.ErrAbortHandler) // returning would send an empty 200
	case errors.Is(err, errNoReady):
		x.refuse(p.noEndpoint(x))
	case f == failLarge:
		x.refuse(bodyTooLarge)
	case f == failTimeout:
		out := gatewaySlow
		if cause := attempt.timeout; cause != nil {
			out.why = cause.Error()
		}
		x.refuse(out)
	default:
		out := badGateway
		out.why = string(f)
		x.refuse(out)
	}
}

// noEndpoint tells what became of the app since the request was admitted.
func (p *Proxy) noEndpoint(x *exchange) refusal {
	switch b := p.set.Table().Host(x.appHost); {
	case b == nil:
		return noSuchHost
	case b.Maintenance:
		return maintenance
	}
	return noReady
}
