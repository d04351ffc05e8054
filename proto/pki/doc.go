// Package pki is how the parts of a cluster know each other: the cluster's own
// certificate authority, the certificates it signs, the tokens by which a new
// host gets its first one, and the two ends of the mutually authenticated
// connections that gRPC runs over.
//
// Who a part is stands in its certificate alone: its role and its name, which
// for an agent is the id of its node. Host names and addresses play no part:
// agents reach servers through whatever the network has between them.
//
// Parts on the cluster's own hosts, which hold its secret and its database,
// sign for themselves; all others join with a token. Nothing secret is ever
// sent: a private key stays where it was made.
package pki
