// Package deps holds the house rules that neither the compiler nor a linter
// knows, as tests: who may import whom, which packages are pure, what is said of
// every exported name. It reads the sources as they are, compiles nothing, and is
// done in a second.
package deps
