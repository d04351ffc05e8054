package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

func (d *Dash) getProvenance(c *gin.Context) {
	p, err := d.Provenance(c.Request.Context(), actorOf(c), c.Param("id"))
	d.reply(c, http.StatusOK, p, err)
}

func (d *Dash) getVerification(c *gin.Context) {
	v, err := d.VerifyBuild(c.Request.Context(), actorOf(c), c.Param("id"))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) getBill(c *gin.Context) {
	b, err := d.BillOfMaterials(c.Request.Context(), actorOf(c), c.Param("id"))
	d.reply(c, http.StatusOK, b, err)
}

func (d *Dash) getSigners(c *gin.Context) {
	s, err := d.Signers(c.Request.Context())
	d.reply(c, http.StatusOK, s, err)
}

func (d *Dash) getComponents(c *gin.Context) {
	s, err := d.SearchComponents(c.Request.Context(), actorOf(c), c.Query("q"))
	d.reply(c, http.StatusOK, s, err)
}
