package base

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// release returns the code name of the machine's distribution release, like "bookworm".
func release() (string, error) {
	content, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		if name, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`), nil
		}
	}
	return "", errors.New("/etc/os-release names no VERSION_CODENAME; base images are made on Debian")
}

// bootstrap installs the packages into a new root, or into what the image below holds, and calls use with it as a tar stream. It takes them from where this
// machine takes its own: a closed network has its mirror configured there, and no other address would do.
func bootstrap(ctx context.Context, packages []string, b *below, began time.Time, scratch string, use func(io.Reader) error) error {
	args, err := bootstrapArgs(packages, b, scratch)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	// mmdebstrap sets newer times back to this one, where the layer recognises them.
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", began.Unix()), "LC_ALL=C.UTF-8")
	// SIGTERM, not the default SIGKILL: it must unmount what it has mounted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w; it comes with the Debian package mmdebstrap", err)
	}
	used := use(out)
	if used != nil {
		_, _ = io.Copy(io.Discard, out) // let it end; the error to tell is ours
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, tail(said.String(), 15))
	}
	return used
}

func bootstrapArgs(packages []string, b *below, scratch string) ([]string, error) {
	codename, err := release()
	if err != nil {
		return nil, err
	}
	sources, err := writeSources(scratch, codename)
	if err != nil {
		return nil, err
	}
	options, err := writeAptOptions(scratch)
	if err != nil {
		return nil, err
	}
	args := []string{"--quiet", "--format=tar", "--dpkgopt=force-unsafe-io", "--aptopt=" + options}
	if b == nil {
		// Without this hook the packages of an old layout bring in all of Perl to convert it.
		args = append(args, "--variant=essential", "--include="+strings.Join(packages, ","), "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr")
	} else {
		// The hooks' shell gets the new root as $1; the packages' names are checked. An --include would be
		// installed by dpkg alone, in no order; apt configures what others need first.
		args = append(args, "--variant=custom",
			`--setup-hook=mkdir --parents "$1/usr/share/man/man1"`, // manual pages stay out; Java's package links to its own all the same
			fmt.Sprintf(`--setup-hook=tar --extract --numeric-owner --file '%s' --directory "$1"`, strings.ReplaceAll(b.tree, "'", `'\''`)),
			`--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes install -o DPkg::Chroot-Directory="$1" `+strings.Join(packages, " "))
	}
	args = append(args, codename, "-")
	return append(args, sources...), nil
}

// writeSources copies those of the machine's package sources that belong to its distribution release: a base image gets
// nothing from the third parties a developer has added. It returns the files written.
func writeSources(scratch, codename string) ([]string, error) {
	lists, err := filepath.Glob("/etc/apt/sources.list.d/*.list")
	if err != nil {
		return nil, err
	}
	deb822, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		return nil, err
	}
	var written []string
	for _, group := range []struct {
		name, separator string
		files           []string
		belongs         func(string, string) bool
	}{
		{"base.list", "\n", append([]string{"/etc/apt/sources.list"}, lists...), lineBelongs},
		{"base.sources", "\n\n", deb822, stanzaBelongs},
	} {
		kept, err := keepSources(group.files, group.separator, codename, group.belongs)
		if err != nil {
			return nil, err
		}
		if kept == "" {
			continue
		}
		file := filepath.Join(scratch, group.name)
		if err := os.WriteFile(file, []byte(kept), 0o644); err != nil {
			return nil, err
		}
		written = append(written, file)
	}
	if len(written) == 0 {
		return nil, fmt.Errorf("apt's sources in /etc/apt name no mirror of the release %s", codename)
	}
	return written, nil
}

func keepSources(files []string, separator, codename string, belongs func(string, string) bool) (string, error) {
	var kept []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, part := range strings.Split(string(content), separator) {
			if belongs(part, codename) {
				kept = append(kept, part+separator)
			}
		}
	}
	return strings.Join(kept, ""), nil
}

// lineBelongs reads the one-line form: deb [options] address suite component…
func lineBelongs(line, codename string) bool {
	line, _, _ = strings.Cut(line, "#")
	if before, after, ok := strings.Cut(line, "["); ok {
		_, rest, _ := strings.Cut(after, "]")
		line = before + rest
	}
	fields := strings.Fields(line)
	return len(fields) >= 4 && fields[0] == "deb" && suiteBelongs(fields[2], codename) && slices.Contains(fields[3:], "main")
}

// stanzaBelongs reads the deb822 form: fields, one a line.
func stanzaBelongs(stanza, codename string) bool {
	fields := map[string][]string{}
	for lines := bufio.NewScanner(strings.NewReader(stanza)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && !strings.HasPrefix(name, "#") {
			fields[strings.ToLower(name)] = strings.Fields(value)
		}
	}
	suits := func(suite string) bool { return suiteBelongs(suite, codename) }
	return slices.Contains(fields["types"], "deb") && !slices.Contains(fields["enabled"], "no") &&
		slices.ContainsFunc(fields["suites"], suits) && slices.Contains(fields["components"], "main")
}

// suiteBelongs accepts the release itself, by code name or role, with its updates and security fixes.
func suiteBelongs(suite, codename string) bool {
	suite = strings.TrimSuffix(strings.TrimSuffix(suite, "-updates"), "-security")
	return slices.Contains([]string{codename, "stable", "oldstable", "oldoldstable", "testing", "unstable"}, suite)
}

// aptOption matches the settings of the machine's apt that reaching its mirror may depend on.
var aptOption = regexp.MustCompile(`^Acquire::(?i:http|https|Retries|ForceIPv4|ForceIPv6|Check-)`)

// writeAptOptions copies those settings into a file: proxies, certificates, retries.
func writeAptOptions(scratch string) (string, error) {
	dump, err := exec.Command("apt-config", "dump", "--format", "%F \"%v\";%n").Output()
	if err != nil {
		return "", fmt.Errorf("apt-config: %w", err)
	}
	var kept bytes.Buffer
	kept.WriteString("APT::Install-Recommends \"false\";\n")
	for line := range strings.Lines(string(dump)) {
		if aptOption.MatchString(line) {
			kept.WriteString(line)
		}
	}
	file := filepath.Join(scratch, "apt.conf")
	return file, os.WriteFile(file, kept.Bytes(), 0o644)
}

// tail returns the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
