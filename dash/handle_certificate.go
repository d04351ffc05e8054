package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
)

func (d *Dash) certificateEndpoints() []endpoint {
	return []endpoint{
		{method: "GET", path: "/certificates", handle: d.getCertificates, summary: "List certificates", answer: api.Page[api.Certificate]{}},
		{method: "PUT", path: "/certificates/:host", handle: d.putCertificate, summary: "Keep a certificate for a host or wildcard, or have one issued", body: api.PutCertificate{}, answer: api.Certificate{}},
		{method: "DELETE", path: "/certificates/:host", handle: d.deleteCertificate, summary: "Remove a certificate", status: 204},
	}
}

func (d *Dash) getCertificates(c *gin.Context) {
	p, err := d.Certificates(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, p, err)
}

func (d *Dash) putCertificate(c *gin.Context) {
	handleBody(d, c, http.StatusOK, func(in api.PutCertificate) (api.Certificate, error) {
		return d.PutCertificate(c.Request.Context(), actorOf(c), c.Param("host"), in)
	})
}

func (d *Dash) deleteCertificate(c *gin.Context) {
	d.replyDone(c, d.DeleteCertificate(c.Request.Context(), actorOf(c), c.Param("host")))
}
