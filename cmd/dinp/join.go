package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/agent"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
)

const joinTimeout = 30 * time.Second

// joinOptions are the flags of `dinp join`.
type joinOptions struct{ Token, TokenFile, Config, Data string }

func joinCommand() *cobra.Command {
	o := joinOptions{}
	cmd := &cobra.Command{
		Use: "join SERVER", Short: "Let this host join the cluster: a token for a certificate",
		Long: `join exchanges a token, made with "dinp token create-join", for the certificate
of a part: an agent's, which makes this host a node, or a health monitor's. The
token says which cluster it is for, so that no other can pose as it; it is good
once and for a short time. The key of the certificate is made here and stays here.

The certificate renews itself while the part runs.`,
		Example: "  dinp join 10.0.0.5:1970 --token dinp-join.agent.…\n  dinp join 10.0.0.5:1970 --token-file - < token",
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&o.Token, "token", os.Getenv("DINP_JOIN_TOKEN"), "the token; other users of this host may see it among the processes: it is good once, and --token-file keeps it from them")
	f.StringVar(&o.TokenFile, "token-file", "", "file with the token (-: standard input)")
	f.StringVar(&o.Config, "config", os.Getenv("DINP_CONFIG"), "configuration file, for the folders it names")
	f.StringVar(&o.Data, "data", "", "data folder of the part (default: the configuration's)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		token, err := o.token(cmd.InOrStdin())
		if err != nil {
			return err
		}
		return join(cmd.Context(), cmd.OutOrStdout(), args[0], token, o)
	}
	return cmd
}

func (o joinOptions) token(stdin io.Reader) (pki.Token, error) {
	text := o.Token
	var b []byte
	var err error
	switch o.TokenFile {
	case "":
	case "-":
		b, err = io.ReadAll(io.LimitReader(stdin, 4096))
		text = string(b)
	default:
		b, err = os.ReadFile(o.TokenFile)
		text = string(b)
	}
	if err != nil {
		return pki.Token{}, model.E(model.CodeBadJoin, "the join token cannot be read: %v", err)
	}
	return pki.ParseToken(text)
}

// place is where a part keeps its certificate, and under which name.
func (o joinOptions) place(role pki.Role) (name, path string, err error) {
	c, err := loadConfig(o.Config)
	if err != nil {
		return "", "", err
	}
	switch role {
	case pki.RoleAgent:
		if o.Data != "" {
			c.Agent.Data = o.Data
		}
		name, err = agent.NodeID(c.Agent.Data)
		return name, agent.IdentityFile(c.Agent.Data), err
	case pki.RoleMonitor:
		if o.Data != "" {
			c.HM.Data = o.Data
		}
		return pki.Name(hostID()), monitorIdentity(c.HM.Data), os.MkdirAll(c.HM.Data, 0o700)
	}
	return "", "", model.E(model.CodeBadJoin, "a part of role %s does not join: it has the cluster's secret and database, and signs for itself", role)
}

// monitorIdentity is where the certificate of a health monitor is.
func monitorIdentity(data string) string { return filepath.Join(data, "identity.pem") }

func join(ctx context.Context, w io.Writer, server string, token pki.Token, o joinOptions) error {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "1970")
	}
	name, path, err := o.place(token.Role)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	k, err := pki.Join(ctx, server, token, name, path)
	if err != nil {
		return joinError(server, err)
	}
	fmt.Fprintf(w, "joined as %s; its certificate is in %s and is good until %s\n", k.Identity(), path, k.NotAfter().Format(time.DateTime))
	fmt.Fprintf(w, "start it with: %s\n", o.next(token.Role, server))
	return nil
}

// next is how the part that has joined is started.
func (o joinOptions) next(role pki.Role, server string) string {
	next := "dinp " + string(role)
	switch {
	case o.Config != "":
		return next + " --config " + o.Config
	case o.Data != "":
		next += " --data " + o.Data
	}
	return next + " --servers " + server
}

// joinError turns a server's refusal into ours.
func joinError(server string, err error) error {
	text := status.Convert(err).Message()
	switch status.Code(err) {
	case codes.FailedPrecondition:
		code := model.CodeBadJoin
		if strings.HasPrefix(text, "["+string(model.CodeNameTaken)+"]") {
			code = model.CodeNameTaken
		}
		text = strings.TrimPrefix(text, "["+string(code)+"] ")
		message, next, _ := strings.Cut(text, "; ")
		return model.E(code, "%s", message).WithNext("%s", next)
	case codes.Unavailable, codes.DeadlineExceeded:
		return model.E(model.CodeUnavailable, "server %s cannot be asked: %s", server, text).
			WithNext("check that the address is a server's gRPC port, and that this host reaches it")
	}
	return err
}
