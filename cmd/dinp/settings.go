package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/dinp/dinp/common/model"
)

// setting is one value of a configuration: the same key names it in the file
// (server.listen), the environment (DINP_SERVER_LISTEN) and, within its part's
// command, as a flag (--listen).
type setting struct {
	key   string // dotted, as in the file
	words string // what it is, with its unit; the tag "help" of its field
	value reflect.Value
}

// settings lists the values of a configuration struct by its yaml tags.
func settings(prefix string, v reflect.Value) []setting {
	var out []setting
	for i := range v.NumField() {
		name, opts, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		f := v.Field(i)
		switch {
		case name == "-" || !f.CanSet():
		case opts == "inline":
			out = append(out, settings(prefix, f)...)
		case f.Kind() == reflect.Struct:
			out = append(out, settings(prefix+name+".", f)...)
		case f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct, f.Kind() == reflect.Map:
			// given in the file only
		default:
			out = append(out, setting{key: prefix + name, words: v.Type().Field(i).Tag.Get("help"), value: f})
		}
	}
	return out
}

// set parses text as YAML would, except that lists may be written a,b,c.
func (s setting) set(text string) error {
	p := s.value.Addr().Interface()
	switch v := p.(type) {
	case *string:
		*v = text
		return nil
	case *[]string:
		*v = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		return nil
	case *time.Duration:
		d, err := time.ParseDuration(text)
		*v = d
		return err
	}
	return yaml.Unmarshal([]byte(text), p)
}

// text is the value as one would write it; "" when there is none.
func (s setting) text() string {
	switch v := s.value.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case time.Duration:
		text := v.String() // 1m0s
		if v >= time.Minute {
			text = strings.TrimSuffix(text, "0s")
		}
		if v >= time.Hour {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	}
	if s.value.Kind() == reflect.Slice && s.value.Len() == 0 {
		return ""
	}
	return fmt.Sprint(s.value)
}

// kind is what the value's text must be.
func (s setting) kind() string {
	if s.value.Type() == reflect.TypeFor[time.Duration]() {
		return "duration"
	}
	switch s.value.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true|false"
	case reflect.Int, reflect.Int64:
		return "int"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		if s.value.Type().Elem().Kind() == reflect.String {
			return "a,b,..."
		}
	}
	return "yaml"
}

// help is what --help says of the setting.
func (s setting) help() string {
	preset := s.text()
	if preset != "" {
		preset = "; default " + preset
	}
	return fmt.Sprintf("%s (%s%s)", s.words, s.key, preset)
}

func (s setting) env() string {
	return "DINP_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.key))
}

// applyEnv lays the environment over the settings.
func applyEnv(all []setting) error {
	for _, s := range all {
		text, ok := os.LookupEnv(s.env())
		if !ok {
			continue
		}
		if err := s.set(text); err != nil {
			return model.E(model.CodeBadConfig, "%s: %q cannot be read: %v", s.env(), text, err)
		}
	}
	return nil
}

// flagName is a setting's flag within the command of its part.
func (s setting) flagName(part string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(strings.TrimPrefix(s.key, part+"."))
}

// flagText is the text of a flag, of whatever kind its setting is.
type flagText struct{ text, kind string }

func (f *flagText) String() string { return f.text }

func (f *flagText) Set(text string) error { f.text = text; return nil }

func (f *flagText) Type() string { return f.kind }

// addFlags declares a flag for each setting. Values are kept as text and applied
// after file and environment.
func addFlags(fs *pflag.FlagSet, part string, all []setting) map[string]*flagText {
	given := map[string]*flagText{}
	for _, s := range all {
		name := s.flagName(part)
		if fs.Lookup(name) != nil {
			continue
		}
		given[name] = &flagText{kind: s.kind()}
		fs.Var(given[name], name, s.help())
	}
	return given
}

// applyFlags lays the flags that were given over the settings.
func applyFlags(fs *pflag.FlagSet, part string, all []setting, given map[string]*flagText) error {
	for _, s := range all {
		name := s.flagName(part)
		text, ok := given[name]
		if !ok || !fs.Changed(name) {
			continue
		}
		if err := s.set(text.text); err != nil {
			return model.E(model.CodeBadConfig, "--%s: %q cannot be read: %v", name, text.text, err)
		}
	}
	return nil
}
