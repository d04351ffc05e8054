package base

import (
	"context"
	"fmt"
	goruntime "runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.yaml.in/yaml/v3"
)

// Pin looks up the digest of every image that a file of base images names by a tag, and returns the file with the digests
// written behind the tags; comments and order stay. What has a digest already is left as it is: to take newer images,
// remove the digests first. options carry transports and credentials.
func Pin(ctx context.Context, content []byte, options ...remote.Option) (pinned []byte, changed []string, err error) {
	var bases map[string]string
	if err := yaml.Unmarshal(content, &bases); err != nil {
		return nil, nil, err
	}
	options = append([]remote.Option{remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: goruntime.GOARCH})}, options...)
	lines := strings.SplitAfter(string(content), "\n")
	for i, line := range lines {
		runtime, _, ok := strings.Cut(line, ":")
		reference := bases[runtime]
		if !ok || reference == "" || strings.Contains(reference, "@") {
			continue
		}
		digest, err := lookUp(reference, options)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", runtime, err)
		}
		lines[i] = strings.Replace(line, reference, reference+"@"+digest, 1)
		changed = append(changed, runtime+"\t"+reference+"@"+digest)
	}
	return []byte(strings.Join(lines, "")), changed, nil
}

func lookUp(reference string, options []remote.Option) (string, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return "", err
	}
	found, err := remote.Head(ref, options...)
	if err != nil {
		return "", err
	}
	return found.Digest.String(), nil
}
