package recipe

import (
	_ "embed" // for the definition of the dockerfile runtime
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

//go:embed dockerfile.yaml
var dockerfileDefinition []byte

// DockerfileRuntime is the runtime of artifacts with their own Dockerfile. It is built in, since it has no base image.
func DockerfileRuntime() Runtime {
	r, err := Parse("dockerfile", dockerfileDefinition, nil)
	if err != nil {
		panic(err) // a file of this package; its test reads it
	}
	return r
}

// DockerfileName is the file that the runtime is for, at the root of the artifact as chosen.
const DockerfileName = "Dockerfile"

// Rules is what a Dockerfile from an artifact may do, and how the platform's names are written for the engine.
type Rules struct {
	Registry   string   // the platform's registry as the engine reaches it
	Registries []string // other registries that FROM may name; docker.io stands for names without one
	Label      string   // key=value, set on every layer so that all can be found and removed

	// Digests pins base images: dinp/base/name:tag → sha256:…. Without it the engine would take whatever it has pulled
	// under that tag before.
	Digests map[string]string
}

// Rewritten is a Dockerfile made fit for the engine.
type Rewritten struct {
	Text  string
	Bases []string // the platform's base images it uses, as dinp/base/name:tag
	Notes []string // for the build log
}

// basePrefix is where the platform's base images are; nothing else of its registry may be built upon, because the rest
// belongs to other apps.
const basePrefix = "dinp/base/"

// RewriteDockerfile checks a Dockerfile and writes it anew, one instruction to a line: what was checked is exactly what
// the engine reads. Images of the platform get the registry's address, a label goes into every stage, and what would let
// a build reach the network by the engine's hand, or needs BuildKit, is refused with its line.
func RewriteDockerfile(text string, rules Rules) (Rewritten, error) {
	instructions, escape, err := parseDockerfile(text)
	if err != nil {
		return Rewritten{}, err
	}
	w := rewriter{rules: rules, args: map[string]string{}}
	if escape == '`' {
		w.lines = append(w.lines, "# escape=`")
	}
	for _, in := range instructions {
		if err := w.instruction(in); err != nil {
			return Rewritten{}, err
		}
	}
	if !w.from {
		return Rewritten{}, refuse(1, "the Dockerfile has no FROM").WithNext("begin it with a line such as FROM dinp/base/binary")
	}
	w.out.Text = strings.Join(w.lines, "\n") + "\n"
	return w.out, nil
}

type rewriter struct {
	rules  Rules
	args   map[string]string // ARGs before the first FROM, which FROM may use
	stages []string
	from   bool // a FROM was seen
	lines  []string
	out    Rewritten
}

func refuse(line int, format string, args ...any) *model.Error {
	e := model.E(model.CodeBadRuntime, "line %d of the Dockerfile: "+format, append([]any{line}, args...)...)
	return e.WithNext("change the line and upload again")
}

func (w *rewriter) instruction(in instruction) error {
	var err error
	switch in.name {
	case "FROM":
		in.rest, err = w.fromLine(in)
	case "COPY":
		in.rest, err = w.copyLine(in)
	case "ARG":
		w.argLine(in)
	default:
		err = check(in)
	}
	if err != nil {
		return err
	}
	w.lines = append(w.lines, in.name+" "+in.rest)
	// The user's own LABEL could overwrite ours.
	if w.rules.Label != "" && (in.name == "FROM" || in.name == "LABEL") {
		w.lines = append(w.lines, "LABEL "+w.rules.Label)
	}
	return nil
}

// check refuses instructions that need nothing but a look.
func check(in instruction) error {
	switch in.name {
	case "RUN":
		if strings.HasPrefix(in.rest, "--") {
			return refuse(in.line, "RUN with options (%.40q) needs BuildKit, which dinp does not use", in.rest)
		}
	case "ADD":
		for _, src := range sources(in.rest) {
			if strings.Contains(src, "://") || strings.HasPrefix(src, "git@") || strings.Contains(src, "$") {
				return refuse(in.line, "ADD may only name files of the artifact, not %.80q", src).
					WithNext("put the file into the artifact and use COPY")
			}
		}
	case "ONBUILD": // runs in a later stage of the same file
		inner := instruction{line: in.line}
		inner.name, inner.rest = splitInstruction(in.rest)
		if inner.name == "COPY" && strings.Contains(inner.rest, "--from") {
			return refuse(in.line, "ONBUILD COPY --from is not supported")
		}
		return check(inner)
	}
	for _, word := range strings.Fields(in.rest) {
		if slices.Contains([]string{"RUN", "ADD", "COPY"}, in.name) && heredoc.MatchString(word) {
			return refuse(in.line, "here-documents (%.40s) need BuildKit, which dinp does not use", word)
		}
	}
	return nil
}

var heredoc = regexp.MustCompile(`^\d*<<-?["']?[A-Za-z_][A-Za-z0-9_]*["']?$`)

// sources are the words of an ADD but its options and its destination.
func sources(rest string) []string {
	words := strings.Fields(rest)
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		words = words[1:]
	}
	var list []string
	if err := json.Unmarshal([]byte(strings.Join(words, " ")), &list); err == nil {
		words = list
	}
	return words[:max(len(words)-1, 0)]
}

func (w *rewriter) fromLine(in instruction) (string, error) {
	w.from = true
	words := strings.Fields(in.rest)
	at := slices.IndexFunc(words, func(s string) bool { return !strings.HasPrefix(s, "--") })
	if at < 0 {
		return "", refuse(in.line, "FROM names no image")
	}
	ref, err := w.expand(in.line, words[at])
	if err != nil {
		return "", err
	}
	if words[at], err = w.image(in.line, ref); err != nil {
		return "", err
	}
	if rest := words[at+1:]; len(rest) == 2 && strings.EqualFold(rest[0], "AS") {
		w.stages = append(w.stages, strings.ToLower(rest[1]))
	}
	return strings.Join(words, " "), nil
}

// copyLine handles COPY --from, which names an image as FROM does.
func (w *rewriter) copyLine(in instruction) (string, error) {
	words := strings.Fields(in.rest)
	for i, word := range words {
		ref, ok := strings.CutPrefix(word, "--from=")
		if !ok {
			if !strings.HasPrefix(word, "--") {
				break
			}
			continue
		}
		if strings.Trim(ref, "0123456789") == "" {
			return in.rest, check(in)
		}
		if strings.ContainsAny(ref, "$\"'") {
			return "", refuse(in.line, "COPY --from must name a stage or image plainly, not %.80q", ref)
		}
		image, err := w.image(in.line, ref)
		if err != nil {
			return "", err
		}
		words[i] = "--from=" + image
		in.rest = strings.Join(words, " ")
		break
	}
	return in.rest, check(in)
}

// image maps a reference to what the engine shall pull, or refuses it.
func (w *rewriter) image(line int, ref string) (string, error) {
	if ref == "scratch" || slices.Contains(w.stages, strings.ToLower(ref)) {
		return ref, nil
	}
	name := strings.TrimPrefix(ref, w.rules.Registry+"/")
	if strings.HasPrefix(name, basePrefix) {
		w.out.Bases = append(w.out.Bases, name)
		if digest, ok := w.rules.Digests[name]; ok {
			name = Repository(name) + "@" + digest
		}
		return w.rules.Registry + "/" + name, nil
	}
	if name != ref || strings.HasPrefix(name, "dinp/") {
		return "", refuse(line, "%.120q belongs to the platform; only %s… may be built upon", ref, basePrefix)
	}
	host := "docker.io"
	if first, _, ok := strings.Cut(ref, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		host = first
	}
	if !slices.Contains(w.rules.Registries, host) {
		return "", refuse(line, "images of %.80q may not be used here; allowed are %s… and those of %s", host, basePrefix, strings.Join(w.rules.Registries, ", ")).
			WithNext("use an allowed image, or let an operator add the registry to dockerfile.registries of the builder")
	}
	return ref, nil
}

// Repository is an image's name without tag and digest.
func Repository(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name = name[:at]
	}
	return name
}

var (
	variable = regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}$]*))?\})`)
	argument = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|\S*)`)
)

// argLine remembers the defaults of ARGs that FROM may use: only those before the first one.
func (w *rewriter) argLine(in instruction) {
	if w.from {
		return
	}
	for _, m := range argument.FindAllStringSubmatch(in.rest, -1) {
		w.args[m[1]] = strings.Trim(m[2], `"'`)
	}
}

// expand replaces variables in an image's name, so that the name that was checked is the one that is used.
func (w *rewriter) expand(line int, ref string) (string, error) {
	ref = variable.ReplaceAllStringFunc(ref, func(v string) string {
		m := variable.FindStringSubmatch(v)
		if value := w.args[m[1]+m[2]]; value != "" {
			return value
		}
		return m[3]
	})
	if ref == "" || strings.ContainsAny(ref, "$\"'\\`") {
		return "", refuse(line, "the image's name in FROM cannot be told: %.80q", ref).
			WithNext("write the name out, or give the ARG a default before the first FROM")
	}
	return ref, nil
}
