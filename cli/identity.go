package cli

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
)

func (c *console) identitiesCommand() *cobra.Command {
	cmd := c.command(spec{use: "identities", short: "List the certificates by which parts are known to each other, or revoke one's",
		example: "  dinp identities\n  dinp identities revoke web3", args: cobra.NoArgs, list: true,
		run: func(ctx context.Context, s *session, _ []string) error {
			all, err := pages[api.Identity](ctx, s.api, "/identities")
			if err != nil {
				return err
			}
			return show(s, all, []string{"ROLE", "NAME", "NODE", "ISSUED", "EXPIRES", "REVOKED", "SERIAL"}, func(v api.Identity) []string {
				return []string{v.Role, v.Name, v.Node, when(v.IssuedAt), when(v.ExpiresAt), when(v.RevokedAt), v.Serial}
			})
		}})
	cmd.AddCommand(c.command(spec{use: "revoke NAME", short: "Refuse a node or another part from now on",
		long:    "Refuse a node, by its name or ID, or another part from now on. Its connections end within seconds; its\ncontainers run on. It may join again with a new token.",
		example: "  dinp identities revoke web3", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			var out api.Revoked
			err := s.api.call(ctx, http.MethodDelete, at("identities", args[0]), nil, &out)
			if err == nil {
				fmt.Fprintf(s.err, "revoked %d certificates of %s\n", out.Certificates, out.Name)
			}
			return err
		}}))
	return cmd
}

func (c *console) createJoinCommand() *cobra.Command {
	var in api.NewJoinToken
	cmd := c.command(spec{use: "create-join", short: "Create a token by which one host joins the cluster, and print it, once",
		long:    "Create a token by which one host joins the cluster, and print it, once. It is good for one part and a short time.",
		example: "  dinp token create-join\n  dinp token create-join --role hm --minutes 5", args: cobra.NoArgs,
		run: func(ctx context.Context, s *session, _ []string) error {
			t, err := send[api.JoinToken](ctx, s.api, http.MethodPost, "/join-tokens", in)
			if err == nil {
				fmt.Fprintln(s.out, t.Token)
				fmt.Fprintf(s.err, "good once, until %s; on the new host: dinp join SERVER --token TOKEN\n", when(t.ExpiresAt))
			}
			return err
		}})
	cmd.Flags().StringVar(&in.Role, "role", "agent", "agent or hm")
	cmd.Flags().IntVar(&in.Minutes, "minutes", 15, "until it expires")
	return cmd
}
