package dash

import "github.com/gin-gonic/gin"

// registerAPI adds the REST API.
func (d *Dash) registerAPI(r *gin.Engine) {}
