package docker

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/registry"

	"github.com/dinp/dinp/common/model"
)

func authFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadAuth_ReadsDockersFormAndALine(t *testing.T) {
	both := base64.StdEncoding.EncodeToString([]byte("u:p:w"))
	for name, text := range map[string]string{
		"a line":           "u:p:w\n",
		"docker login":     `{"auths":{"other:1":{"auth":"eDp5"},"r:5000":{"auth":"` + both + `"}}}`,
		"with a scheme":    `{"auths":{"https://r:5000/v2/":{"auth":"` + both + `"}}}`,
		"in two fields":    `{"auths":{"r:5000":{"username":"u","password":"p:w"}},"credsStore":"desktop"}`,
		"as old ones were": `{"auths":{"r:5000":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:p:w\x00\x00")) + `"}}}`,
	} {
		got, err := ReadAuth(authFile(t, text), "r:5000")
		if want := (registry.AuthConfig{Username: "u", Password: "p:w", ServerAddress: "r:5000"}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := ReadAuth(authFile(t, `{"auths":{"r:5000":{"identitytoken":"t"}}}`), "r:5000")
	if err != nil || got.IdentityToken != "t" {
		t.Errorf("a token: %+v, %v", got, err)
	}
	if got, err := ReadAuth("", "r:5000"); err != nil || got.Username != "" {
		t.Errorf("no file: %+v, %v", got, err)
	}
}

func TestReadAuth_WhatIsWrongIsSaid_AndNothingOfTheFile(t *testing.T) {
	for text, want := range map[string]string{
		"s3cret":                               "neither",
		":s3cret":                              "neither",
		"u:s3cret\nu:other":                    "neither",
		`{"auths":{"r:5000":{"auth":s3cret}}}`: "is none",
		`{"auths":{"r:5000":{"auth":"s3cret!"}}}`:    "base64",
		`{"auths":{"other":{"auth":"s3cret"}}}`:      "no login for r:5000, but for 1 others",
		`{"auths":{"r:5000":{}},"credsStore":"any"}`: "credsStore",
		`{"credHelpers":{"r:5000":"s3cret"}}`:        "credHelpers",
	} {
		_, err := ReadAuth(authFile(t, text), "r:5000")
		if !model.IsCode(err, model.CodeBadConfig) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ReadAuth(filepath.Join(t.TempDir(), "none"), "r:5000"); !model.IsCode(err, model.CodeBadConfig) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := ReadAuth(authFile(t, strings.Repeat("x", maxAuthFile+1)), "r:5000"); !model.IsCode(err, model.CodeBadConfig) {
		t.Errorf("a huge file: %v", err)
	}
}

func FuzzParseAuth(f *testing.F) {
	f.Add([]byte("u:p"), "r")
	f.Add([]byte(`{"auths":{"r":{"auth":"dTpw"}}}`), "r")
	f.Fuzz(func(t *testing.T, text []byte, host string) {
		if a, problem := parseAuth(text, host); problem == "" && a.ServerAddress != "" {
			t.Errorf("%q names a registry: %+v", text, a)
		}
	})
}
