package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

func (c *console) certsCommand() *cobra.Command {
	cmd := c.command(spec{use: "certs", short: "List, put or remove the certificates of HTTPS", example: "  dinp certs\n  dinp certs put www.shop.example --acme\n  dinp certs put '*.apps.example.com' --chain wild.pem --key wild.key",
		args: cobra.NoArgs, list: true, run: listCerts})
	cmd.AddCommand(c.putCertCommand(), c.command(spec{use: "remove HOST", short: "Remove the certificate of a host", example: "  dinp certs remove www.shop.example", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			return s.gone(ctx, "the certificate of "+args[0], at("certificates", args[0]))
		}}))
	return cmd
}

func listCerts(ctx context.Context, s *session, _ []string) error {
	all, err := pages[api.Certificate](ctx, s.api, "/certificates")
	if err != nil {
		return err
	}
	return show(s, all, []string{"HOST", "SOURCE", "STATE", "UNTIL", "ISSUER", "NOTE"}, func(c api.Certificate) []string {
		return []string{c.Host, c.Source, c.State, when(c.NotAfter), c.Issuer, c.Failure}
	})
}

func (c *console) putCertCommand() *cobra.Command {
	var chain, key string
	var acme bool
	cmd := c.command(spec{use: "put HOST", short: "Keep a certificate for a host, or have one issued and renewed",
		long: `Keep a certificate and its key for a host or a wildcard; the platform seals the
key and brings both to every router within seconds. With --acme the certificate
authority of the platform issues it, and the platform renews it.`,
		example: "  dinp certs put www.shop.example --chain fullchain.pem --key privkey.pem\n  dinp certs put www.shop.example --acme", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, s *session, args []string) error {
			in, err := certificateBody(chain, key, acme)
			if err != nil {
				return err
			}
			out, err := send[api.Certificate](ctx, s.api, http.MethodPut, at("certificates", args[0]), in)
			if err == nil {
				fmt.Fprintf(s.err, "certificate of %s is %s\n", out.Host, out.State)
			}
			return err
		}})
	cmd.Flags().StringVar(&chain, "chain", "", "file of the certificate and its intermediates, PEM")
	cmd.Flags().StringVar(&key, "key", "", "file of the private key, PEM")
	cmd.Flags().BoolVar(&acme, "acme", false, "have it issued by the platform's certificate authority")
	return cmd
}

func certificateBody(chain, key string, acme bool) (api.PutCertificate, error) {
	if acme != (chain == "" && key == "") || (chain == "") != (key == "") {
		return api.PutCertificate{}, model.E(model.CodeBadRequest, "say either --acme, or --chain and --key").WithNext("dinp certs put --help")
	}
	in := api.PutCertificate{ACME: acme}
	for file, into := range map[string]*string{chain: &in.Chain, key: &in.Key} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return in, model.E(model.CodeBadRequest, "%v", err)
		}
		*into = string(text)
	}
	return in, nil
}
