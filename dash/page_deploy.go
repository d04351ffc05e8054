package dash

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	"github.com/dinp/dinp/dash/view"
)

// checkName answers, while a name is typed, whether a deploy could go there.
func (d *Dash) checkName(c *gin.Context) {
	name := c.Query("name")
	say := func(ok bool, words string) { c.JSON(http.StatusOK, gin.H{"ok": ok, "text": words}) }
	if err := model.CheckAppName(name); err != nil {
		say(false, d.userError(c, err).Message)
		return
	}
	app, err := d.store.App(c.Request.Context(), name)
	switch {
	case model.IsKind(err, model.NotFound):
		say(true, text(c, "name.free", d.cfg.AppURL(name)))
	case err != nil:
		d.fail(c, err)
	case policy.Can(actorOf(c), policy.Deploy, app.TeamID):
		say(true, text(c, "name.yours"))
	default:
		say(false, text(c, "name.taken"))
	}
}

const (
	maxField = 512 << 10 // of the form's text fields together

	// How much of a refused upload is still taken, so that the browser, which looks
	// for an answer when it has sent all, finds one rather than a broken connection.
	refusedBytes = 64 << 20
	refusedTime  = 5 * time.Second
)

// deployForm takes the deploy form: its fields, and a file that is stored as it
// comes. A script gets JSON with the next address; a plain form is redirected.
func (d *Dash) deployForm(c *gin.Context) {
	body := c.Request.Body
	c.Request.Body = struct {
		io.Reader
		io.Closer
	}{newPatientBody(c), body}
	out, err := d.readDeployForm(c)
	if err != nil {
		d.refuseUpload(c, body, err)
		return
	}
	to := "/apps/" + out.App
	if out.Build != nil {
		to = "/deploys/" + out.Build.ID
	} else {
		d.flash(c, view.Flash{Text: text(c, "deploy.unchanged")})
	}
	if strings.Contains(c.GetHeader("Accept"), "application/json") {
		c.JSON(http.StatusOK, gin.H{"location": to})
		return
	}
	c.Redirect(http.StatusSeeOther, to)
}

// refuseUpload answers while the file may still be coming.
func (d *Dash) refuseUpload(c *gin.Context, body io.Reader, err error) {
	rc := http.NewResponseController(c.Writer)
	duplex := rc.EnableFullDuplex() // else the server reads on before it answers
	c.Header("Connection", "close")
	d.refuseDeploy(c, err)
	c.Writer.Flush()
	if duplex == nil && rc.SetReadDeadline(time.Now().Add(refusedTime)) == nil {
		_, _ = io.CopyN(io.Discard, body, refusedBytes) // whatever comes of it, the answer is out
	}
}

func (d *Dash) refuseDeploy(c *gin.Context, err error) {
	if !strings.Contains(c.GetHeader("Accept"), "application/json") {
		d.showApps(c, err)
		return
	}
	e := d.userError(c, err)
	html, rerr := pageViews().Fragment("error", "problem-only", &view.Page{Lang: langOf(c), Data: e})
	if rerr != nil {
		d.log.Error("page not rendered", "page", "error", "err", rerr)
	}
	c.JSON(statusOf(e), gin.H{"html": html})
}

// uploadedForm is what came before, or around, the file.
type uploadedForm struct {
	fields   map[string]string
	artifact string
	filename string
}

func (d *Dash) readDeployForm(c *gin.Context) (api.Deploy, error) {
	parts, err := c.Request.MultipartReader()
	if err != nil {
		return api.Deploy{}, model.E(model.CodeBadRequest, "this is not the deploy form").WithCause(err)
	}
	f := uploadedForm{fields: map[string]string{}}
	if err := d.readParts(c, parts, &f); err != nil {
		return api.Deploy{}, err
	}
	in, err := f.input()
	if err != nil {
		return api.Deploy{}, err
	}
	return d.StartDeploy(c.Request.Context(), actorOf(c), f.fields["name"], in)
}

// readParts takes the parts in the order they come. The script sends the file
// last, so that a name that is refused costs no upload.
func (d *Dash) readParts(c *gin.Context, parts *multipart.Reader, f *uploadedForm) error {
	left := int64(maxField)
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return model.E(model.CodeBadRequest, "the upload broke off").WithCause(err).WithNext("try again")
		}
		if part.FormName() == "file" && part.FileName() != "" {
			err = d.takeFile(c, part, f)
		} else {
			err = takeField(part, f, &left)
		}
		if err != nil {
			return err
		}
	}
}

func takeField(part *multipart.Part, f *uploadedForm, left *int64) error {
	b, err := io.ReadAll(io.LimitReader(part, *left+1))
	if err != nil {
		return model.E(model.CodeBadRequest, "the upload broke off").WithCause(err).WithNext("try again")
	}
	if *left -= int64(len(b)); *left < 0 {
		return model.E(model.CodeTooLarge, "the form's fields are larger than %d bytes", maxField)
	}
	f.fields[part.FormName()] = string(b)
	return nil
}

func (d *Dash) takeFile(c *gin.Context, part *multipart.Part, f *uploadedForm) error {
	ctx, actor := c.Request.Context(), actorOf(c)
	if name, ok := f.fields["name"]; ok {
		in, err := f.input()
		if err != nil {
			return err
		}
		if _, err := d.deployTarget(ctx, actor, name, in); err != nil {
			return err
		}
	}
	a, err := d.Upload(ctx, actor, part, part.FileName(), -1)
	f.artifact, f.filename = a.SHA256, part.FileName()
	return err
}

// input is the form as the use case takes it; empty fields keep what is.
func (f uploadedForm) input() (DeployInput, error) {
	in := DeployInput{Artifact: f.artifact, Filename: f.filename, Runtime: f.fields["runtime"], Team: f.fields["team"]}
	in.Note, in.Strategy = strings.TrimSpace(f.fields["note"]), f.fields["strategy"]
	if f.artifact == "" {
		in.Image = strings.TrimSpace(f.fields["image"])
	}
	if s := strings.TrimSpace(f.fields["instances"]); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return in, model.E(model.CodeBadSize, "instances is not a number")
		}
		in.Instances = &n
	}
	if s := strings.TrimSpace(f.fields["memory"]); s != "" {
		mib, err := model.ParseMemory(s)
		if err != nil {
			return in, err
		}
		in.MemoryMiB = &mib
	}
	if s := strings.TrimSpace(f.fields["health"]); s != "" {
		in.Health = &s
	}
	var err error
	in.Env, err = parseEnvLines(f.fields["env"])
	return in, err
}

// parseEnvLines reads NAME=value lines; empty lines and comments are skipped.
func parseEnvLines(s string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n")
		if t := strings.TrimSpace(line); t == "" || strings.HasPrefix(t, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, model.E(model.CodeBadEnv, "the environment line %q is not NAME=value", clip(line, 80))
		}
		out[strings.TrimSpace(name)] = value
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}
