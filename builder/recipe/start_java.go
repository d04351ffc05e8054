package recipe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
)

const manifestName = "META-INF/MANIFEST.MF"

// className is a Java class, and nothing that java would take for an option.
var className = regexp.MustCompile(`^[\pL_$][\pL\pN_$.]*$`)

// KeptWhole reports whether the uploaded file itself goes into the image, not what is in it. A jar may look into its own
// file when it runs: for resources, for jars within, for classes of several Java releases.
func (c Choice) KeptWhole() bool {
	w := c.Runtime.Whole
	return w != nil && slices.Contains(w.Kinds, c.Kind) && (view{files: c.Files}).find(w.Unless) == ""
}

// manifestStart runs the jar, or the main class of the unpacked one.
func (c Choice) manifestStart(texts map[string]string) (Start, error) {
	if !c.has(manifestName) {
		return Start{}, nil
	}
	class := manifestAttribute(texts[manifestName], "Main-Class")
	if !className.MatchString(class) {
		return Start{}, model.E(model.CodeBadRuntime, "the jar cannot be started: its META-INF/MANIFEST.MF has no Main-Class that is a class's name, but %.80q", class).
			WithNext("build an executable jar (Maven: spring-boot-maven-plugin repackage, or maven-jar-plugin with <mainClass>; Gradle: bootJar, or jar { manifest { attributes 'Main-Class': … } }) and upload that one")
	}
	reason := "main class of the manifest: " + class
	if c.KeptWhole() {
		return Start{Command: c.launch("-jar", c.Runtime.Whole.As), Reason: reason}, nil
	}
	return Start{Command: c.launch("-cp", ".", class), Reason: reason}, nil
}

func (c Choice) launch(args ...string) []string { return slices.Concat(c.Runtime.Launch, args) }

// jarStart runs the one jar of an archive, beside which its libraries may lie.
func (c Choice) jarStart() Start {
	jars := c.jars()
	if len(jars) != 1 {
		return Start{}
	}
	return Start{Command: c.launch("-jar", jars[0]), Reason: fmt.Sprintf("the only jar at the root: %s", jars[0])}
}

func (c Choice) jars() []string {
	var out []string
	for _, f := range c.Files {
		if !f.Dir && !strings.Contains(f.Path, "/") && strings.HasSuffix(strings.ToLower(f.Path), ".jar") {
			out = append(out, f.Path)
		}
	}
	return out
}

// manifestAttribute reads an attribute of the manifest's main section. A line that begins with a space continues the one
// before; names do not mind their case.
func manifestAttribute(text, name string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	main, _, _ := strings.Cut(text, "\n\n")
	for line := range strings.SplitSeq(strings.ReplaceAll(main, "\n ", ""), "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
