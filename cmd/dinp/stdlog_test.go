package main

import (
	"bytes"
	"log"
	"strings"
	"testing"
)

func TestStandardLog_QuotesNoAnswersOfApps(t *testing.T) {
	var out bytes.Buffer
	l, err := newLogger(logConfig{Level: "debug", Format: "text"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	s := log.New(standardLog{l}, "", 0)
	s.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "a secret", nil)
	s.Print("http: something else")
	got := out.String()
	if strings.Contains(got, "secret") || !strings.Contains(got, "level=DEBUG msg=\"an app has answered") || !strings.Contains(got, `level=WARN msg="http: something else"`) {
		t.Errorf("the log says %s", got)
	}
}
