package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
)

func (d *Dash) identityEndpoints() []endpoint {
	return []endpoint{
		{method: "POST", path: "/join-tokens", handle: d.postJoinTokens, summary: "Make a token by which one part joins the cluster; it is told this once", body: api.NewJoinToken{}, answer: api.JoinToken{}, status: 201, secret: true},
		{method: "GET", path: "/identities", handle: d.getIdentities, summary: "List the certificates by which parts are known", answer: api.Page[api.Identity]{}},
		{method: "DELETE", path: "/identities/:name", handle: d.deleteIdentity, summary: "Revoke the certificates of a node or another part", answer: api.Revoked{}},
	}
}

func (d *Dash) postJoinTokens(c *gin.Context) {
	handleBody(d, c, http.StatusCreated, func(in api.NewJoinToken) (api.JoinToken, error) {
		return d.CreateJoinToken(c.Request.Context(), actorOf(c), in)
	})
}

func (d *Dash) getIdentities(c *gin.Context) {
	v, err := d.Identities(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) deleteIdentity(c *gin.Context) {
	v, err := d.Revoke(c.Request.Context(), actorOf(c), c.Param("name"))
	d.reply(c, http.StatusOK, v, err)
}
