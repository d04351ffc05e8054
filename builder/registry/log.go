package registry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
)

// The distribution library logs to logrus' global logger whatever its configuration says, a line per request. What
// matters of that goes to the logger of the newest registry of this process.
var (
	current atomic.Pointer[slog.Logger]
	once    sync.Once
)

func takeLog(log *slog.Logger) {
	current.Store(log)
	once.Do(func() {
		logrus.SetOutput(io.Discard)
		logrus.SetLevel(logrus.WarnLevel)
		logrus.AddHook(forward{})
	})
}

// forward implements logrus.Hook.
type forward struct{}

// Levels implements logrus.Hook.
func (forward) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook. A request that the registry refused is its normal work: clients ask for blobs to learn
// that they are not there.
func (forward) Fire(e *logrus.Entry) error {
	level := slog.LevelWarn
	if status, ok := e.Data["http.response.status"].(int); ok && status < 500 || e.Data["err.code"] != nil {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.String("text", e.Message)}
	for _, k := range []string{"err.code", "err.message", "err.detail", "http.request.uri"} {
		if v, ok := e.Data[k]; ok {
			attrs = append(attrs, slog.Any(k, v))
		}
	}
	current.Load().LogAttrs(context.Background(), level, "registry reported", attrs...)
	return nil
}
