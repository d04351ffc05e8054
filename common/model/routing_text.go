package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// MaxRoutingBytes bounds an app's routing settings as JSON: they travel with
// every change of the app's instances.
const MaxRoutingBytes = 60_000

// RoutingText is a Routing as JSON, comparable, as the database holds it. ""
// is the Routing of a new app.
type RoutingText string

// Text returns the settings as they are stored.
func (r *Routing) Text() RoutingText {
	if r.Zero() {
		return ""
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // a Routing that was checked has no NaN
	}
	return RoutingText(b)
}

// Routing reads the settings; nil for "". Fields that a newer version wrote are
// passed over.
func (t RoutingText) Routing() (*Routing, error) {
	if t == "" {
		return nil, nil
	}
	r := &Routing{}
	if err := json.Unmarshal([]byte(t), r); err != nil {
		return nil, fmt.Errorf("read routing settings: %w", err)
	}
	return r, nil
}

// Merge returns the settings with some of them changed, each under its name in
// JSON; null takes one back to its default (RFC 7396, of one level). Passwords
// are never part of an answer, so a user of basic_auth without a hash keeps the
// one that is stored. The outcome is checked.
func (r *Routing) Merge(changes map[string]any) (*Routing, error) {
	fields, err := r.fields()
	if err != nil {
		return nil, err
	}
	for name, v := range changes {
		if !slices.Contains(RoutingNames, name) {
			return nil, E(CodeBadRouting, "there is no routing setting %q", clip(name, 40)).WithNext("dinp routing --help lists them")
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, E(CodeBadRouting, "%s: %v", name, err)
		}
		if fields[name] = b; v == nil {
			delete(fields, name)
		}
	}
	out, err := fromFields(fields)
	if err != nil {
		return nil, err
	}
	out.keepPasswords(r)
	return out, out.Check()
}

func (r *Routing) fields() (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	if r == nil {
		return out, nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(b, &out)
}

// fromFields reads one setting after the other, so that an error names its own.
func fromFields(fields map[string]json.RawMessage) (*Routing, error) {
	out := &Routing{}
	var p problems
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader(one))
		d.DisallowUnknownFields()
		if err := d.Decode(out); err != nil {
			p.add("%s: %s cannot be read: %v", name, clip(string(fields[name]), 80), err)
		}
	}
	return out, p.err()
}

func (r *Routing) keepPasswords(old *Routing) {
	if old == nil {
		return
	}
	for i, u := range r.BasicAuth {
		at := slices.IndexFunc(old.BasicAuth, func(o BasicUser) bool { return o.Name == u.Name })
		if u.Hash == "" && at >= 0 {
			r.BasicAuth[i].Hash = old.BasicAuth[at].Hash
		}
	}
}

// SetPassword gives a user of basic_auth another bcrypt hash, and "" takes the
// user away. The settings must be the caller's own.
func (r *Routing) SetPassword(user, hash string) {
	r.BasicAuth = slices.DeleteFunc(slices.Clone(r.BasicAuth), func(u BasicUser) bool { return u.Name == user })
	if hash != "" {
		r.BasicAuth = append(r.BasicAuth, BasicUser{Name: user, Hash: hash})
	}
}

// Shown returns a copy that may be shown: without the hashes of passwords.
func (r *Routing) Shown() Routing {
	if r == nil {
		return Routing{}
	}
	out := *r
	out.BasicAuth = slices.Clone(r.BasicAuth)
	for i := range out.BasicAuth {
		out.BasicAuth[i].Hash = ""
	}
	return out
}

// RoutingChanges names the settings that differ, for the audit log: values may
// be long or secret.
func RoutingChanges(a, b RoutingText) []string {
	old, errOld := fieldsOf(a)
	now, errNow := fieldsOf(b)
	if errOld != nil || errNow != nil {
		return []string{"all"}
	}
	var out []string
	for _, name := range RoutingNames {
		if !bytes.Equal(old[name], now[name]) {
			out = append(out, name)
		}
	}
	return out
}

func fieldsOf(t RoutingText) (map[string]json.RawMessage, error) {
	r, err := t.Routing()
	if err != nil {
		return nil, err
	}
	return r.fields()
}
