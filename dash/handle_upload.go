package dash

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// The headers of tus 1.0.0, of which the core, creation, expiration, checksum and
// termination are served.
const (
	tusVersion     = "1.0.0"
	headerOffset   = "Upload-Offset"
	headerLength   = "Upload-Length"
	headerArtifact = "Dinp-Artifact"
)

func tus(c *gin.Context) { c.Header("Tus-Resumable", tusVersion) }

func (d *Dash) optionsArtifacts(c *gin.Context) {
	tus(c)
	c.Header("Tus-Version", tusVersion)
	c.Header("Tus-Extension", "creation,expiration,checksum,termination")
	c.Header("Tus-Checksum-Algorithm", checksumAlgorithms)
	c.Header("Tus-Max-Size", strconv.FormatInt(d.cfg.maxUpload(), 10))
	c.Status(http.StatusNoContent)
}

func (d *Dash) getArtifact(c *gin.Context) {
	v, err := d.Artifact(c.Request.Context(), actorOf(c), c.Param("sha256"))
	if err == nil {
		c.Header(headerArtifact, v.SHA256)
		c.Header(headerLength, strconv.FormatInt(v.Size, 10))
	}
	d.reply(c, http.StatusOK, v, err)
}

// postArtifacts begins an upload that can be resumed.
func (d *Dash) postArtifacts(c *gin.Context) {
	tus(c)
	length, err := headerNumber(c, headerLength)
	if err != nil {
		d.fail(c, err)
		return
	}
	meta, err := uploadMetadata(c.GetHeader("Upload-Metadata"))
	if err != nil {
		d.fail(c, err)
		return
	}
	u, err := d.createUpload(c.Request.Context(), actorOf(c), upload{Length: length, Filename: meta["filename"], SHA256: strings.ToLower(meta["sha256"])})
	if err != nil {
		d.fail(c, err)
		return
	}
	c.Header("Location", apiBase+"/artifacts/uploads/"+u.ID)
	uploadHeaders(c, u, 0)
	c.Status(http.StatusCreated)
}

// postUploads begins an upload of those parts of a file that are not here.
func (d *Dash) postUploads(c *gin.Context) {
	handleBody(d, c, http.StatusOK, func(in api.NewUpload) (api.PlannedUpload, error) {
		return d.planUpload(c.Request.Context(), actorOf(c), c.Param("app"), in)
	})
}

func uploadHeaders(c *gin.Context, u upload, offset int64) {
	c.Header(headerOffset, strconv.FormatInt(offset, 10))
	c.Header(headerLength, strconv.FormatInt(u.Length, 10))
	c.Header("Upload-Expires", time.Now().Add(uploadTime).UTC().Format(http.TimeFormat))
	c.Header("Cache-Control", "no-store")
	if u.Artifact != "" {
		c.Header(headerArtifact, u.Artifact)
	}
}

func (d *Dash) headUpload(c *gin.Context) {
	tus(c)
	u, offset, err := d.uploads.find(c.Param("id"), actorOf(c).UserID)
	if err != nil {
		d.fail(c, err)
		return
	}
	uploadHeaders(c, u, offset)
	c.Status(http.StatusOK)
}

// patchUpload adds the body to an upload.
func (d *Dash) patchUpload(c *gin.Context) {
	tus(c)
	if t := c.ContentType(); t != "application/offset+octet-stream" {
		d.failWith(c, http.StatusUnsupportedMediaType, model.E(model.CodeBadRequest, "the content type is %q", clip(t, 60)).WithNext("send application/offset+octet-stream"))
		return
	}
	offset, err := headerNumber(c, headerOffset)
	if err != nil {
		d.fail(c, err)
		return
	}
	sum, err := readChecksum(c.GetHeader("Upload-Checksum"))
	if err != nil {
		d.fail(c, err)
		return
	}
	u, at, err := d.appendUpload(c.Request.Context(), actorOf(c), c.Param("id"), offset, newPatientBody(c), sum)
	if errors.Is(err, errDamaged) {
		c.Header(headerOffset, strconv.FormatInt(at, 10))
		d.failWith(c, statusChecksum, errDamaged)
		return
	}
	if err != nil {
		if u.ID != "" {
			c.Header(headerOffset, strconv.FormatInt(at, 10))
		}
		d.failUpload(c, err)
		return
	}
	uploadHeaders(c, u, at)
	if u.Artifact == "" {
		c.Status(http.StatusNoContent)
		return
	}
	if strings.Contains(c.GetHeader("Accept"), "application/json") {
		c.JSON(http.StatusOK, api.Artifact{SHA256: u.Artifact, Size: u.size()})
		return
	}
	c.Status(http.StatusNoContent)
}

func (d *Dash) deleteUpload(c *gin.Context) {
	tus(c)
	d.replyDone(c, d.dropUpload(actorOf(c), c.Param("id")))
}

func headerNumber(c *gin.Context, name string) (int64, error) {
	n, err := strconv.ParseInt(c.GetHeader(name), 10, 64)
	if err != nil || n < 0 {
		return 0, model.E(model.CodeBadRequest, "the header %s is %q; it must be a number of bytes", name, clip(c.GetHeader(name), 40))
	}
	return n, nil
}

// uploadMetadata reads tus's list of names and base64 values.
func uploadMetadata(h string) (map[string]string, error) {
	out := map[string]string{}
	for pair := range strings.SplitSeq(h, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if name == "" {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
		if err != nil {
			return nil, model.E(model.CodeBadRequest, "Upload-Metadata cannot be read: the value of %s is not base64", clip(name, 40))
		}
		out[name] = string(b)
	}
	return out, nil
}
