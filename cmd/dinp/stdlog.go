package main

import (
	"log"
	"log/slog"
	"strings"
)

// adoptStandardLog sends what libraries say by package log to the log of the
// process.
func adoptStandardLog(l *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(standardLog{l})
}

type standardLog struct{ log *slog.Logger }

// unsolicited begins what net/http says of an app that answers more than it was
// asked, with up to 4 KiB of that behind it: no content of an app's belongs in
// our log, and an app could fill it.
const unsolicited = "Unsolicited response received on idle HTTP channel"

// Write takes one message.
func (s standardLog) Write(text []byte) (int, error) {
	if message := strings.TrimSpace(string(text)); strings.HasPrefix(message, unsolicited) {
		s.log.Debug("an app has answered more than it was asked")
	} else {
		s.log.Warn(message)
	}
	return len(text), nil
}
