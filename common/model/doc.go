// Package model is dinp's dictionary: the nouns every part shares (app,
// release, instance, node, verdict, build, …) as plain values, and the pure
// rules that belong to them. The words are those of GLOSSARY.md.
//
// It imports the standard library only and must never do I/O, read a clock,
// draw random numbers or log.
package model
