// Package routes tests the way of routes from the leader to a router: the real
// publisher, a real Redis, and a router's real source.
package routes
