package dash

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
)

func (d *Dash) postLogin(c *gin.Context) {
	handleBody(d, c, http.StatusOK, func(in api.Login) (api.Token, error) {
		return d.LoginToken(c.Request.Context(), in, c.ClientIP())
	})
}

func (d *Dash) getWhoami(c *gin.Context) {
	v, err := d.Me(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) getUsers(c *gin.Context) {
	v, err := d.Users(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) postUsers(c *gin.Context) {
	handleBody(d, c, http.StatusCreated, func(in api.NewUser) (api.User, error) {
		return d.CreateUser(c.Request.Context(), actorOf(c), in)
	})
}

func (d *Dash) deleteUser(c *gin.Context) {
	d.replyDone(c, d.DeleteUser(c.Request.Context(), actorOf(c), c.Param("user")))
}

// newPassword is the body of PUT /users/{user}/password; Old is needed for one's own.
type newPassword struct {
	Old      string `json:"old,omitempty"`
	Password string `json:"password"`
}

func (d *Dash) putPassword(c *gin.Context) {
	in, err := decode[newPassword](c)
	if err == nil {
		err = d.SetPassword(c.Request.Context(), actorOf(c), c.Param("user"), in.Old, in.Password)
	}
	d.replyDone(c, err)
}

func (d *Dash) getTeams(c *gin.Context) {
	v, err := d.Teams(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) postTeams(c *gin.Context) {
	handleBody(d, c, http.StatusCreated, func(in api.NewTeam) (api.Team, error) {
		return d.CreateTeam(c.Request.Context(), actorOf(c), in)
	})
}

func (d *Dash) putMember(c *gin.Context) {
	in, err := decode[api.Member](c)
	if err == nil {
		err = d.SetMember(c.Request.Context(), actorOf(c), c.Param("team"), c.Param("user"), in.Role)
	}
	d.replyDone(c, err)
}

func (d *Dash) deleteMember(c *gin.Context) {
	d.replyDone(c, d.SetMember(c.Request.Context(), actorOf(c), c.Param("team"), c.Param("user"), ""))
}

func (d *Dash) getTokens(c *gin.Context) {
	v, err := d.Tokens(c.Request.Context(), actorOf(c))
	d.reply(c, http.StatusOK, v, err)
}

func (d *Dash) postTokens(c *gin.Context) {
	handleBody(d, c, http.StatusCreated, func(in api.NewToken) (api.Token, error) {
		return d.CreateToken(c.Request.Context(), actorOf(c), in)
	})
}

func (d *Dash) deleteToken(c *gin.Context) {
	d.replyDone(c, d.DeleteToken(c.Request.Context(), actorOf(c), c.Param("id")))
}
