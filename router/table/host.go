package table

import "strings"

// maxHost is the longest DNS name in text form.
const maxHost = 253

// Canon returns the form in which a host is looked up: lower case, without
// port and without the trailing dot. It reports false for text that cannot be
// a host; such text is never in a table.
func Canon(hostport string) (string, bool) {
	host, ok := cutPort(hostport)
	if !ok {
		return "", false
	}
	if strings.HasPrefix(host, "[") {
		return canonIPv6(host)
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > maxHost {
		return "", false
	}
	label := 0
	upper := false
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case 'A' <= c && c <= 'Z':
			label++
			upper = true
		case c == '.' && label > 0:
			label = 0
		default:
			return "", false
		}
		if label > 63 {
			return "", false
		}
	}
	if label == 0 { // two trailing dots
		return "", false
	}
	if upper {
		host = strings.ToLower(host)
	}
	return host, true
}

// cutPort removes ":port", where the port may be empty as RFC 3986 allows.
func cutPort(s string) (string, bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, true
	}
	host, port := s[:i], s[i+1:]
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if strings.Contains(host, ":") && !bracketed {
		return "", false
	}
	if len(port) > 5 {
		return "", false
	}
	for j := range len(port) {
		if port[j] < '0' || port[j] > '9' {
			return "", false
		}
	}
	return host, true
}

func canonIPv6(host string) (string, bool) {
	if !strings.HasSuffix(host, "]") || len(host) < 4 || len(host) > 64 {
		return "", false
	}
	for _, c := range []byte(host[1 : len(host)-1]) {
		hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
		if !hex && c != ':' && c != '.' {
			return "", false
		}
	}
	return strings.ToLower(host), true
}
