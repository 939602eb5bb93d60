package holdfast

import (
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const (
	uriVariable      = "HOLDFAST_URI"
	tokenVariable    = "HOLDFAST_TOKEN"
	insecureVariable = "HOLDFAST_INSECURE"
	caFileVariable   = "HOLDFAST_TLS_CA_FILE"
	certFileVariable = "HOLDFAST_TLS_CERT_FILE"
	keyFileVariable  = "HOLDFAST_TLS_KEY_FILE"

	defaultPort = 5600
	// sun_path holds 108 bytes with the closing NUL.
	maxSocketPath = 107

	uriForms = "Use holdfast://host:port, holdfast+tls://host:port or unix:/path/to/socket."
)

// Before a colon; one letter there is a Windows drive.
var schemePattern = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+):`)

var hostAndPort = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d+/?$`)

// target is a server and how it is reached.
type target struct {
	uri      string // normalized; holds no secret
	host     string
	port     int
	socket   string // absolute path; empty for the network
	tls      bool
	loopback bool // the connection cannot leave this machine
	caFile   string
	certFile string
	keyFile  string
	token    string
}

// parseTarget finds the server that a URI and settings name; variable is os.Getenv, and settings that are given go first.
func parseTarget(uri string, given settings, variable func(string) string) (*target, error) {
	text := firstOf(uri, variable(uriVariable))
	if text == "" {
		return nil, invalid("", "No server is named: pass its URI to Connect, or set %s. %s", uriVariable, uriForms)
	}
	token := strings.TrimSpace(firstOf(given.token, variable(tokenVariable)))
	for _, letter := range []byte(token) {
		if letter <= ' ' || letter > '~' {
			return nil, invalid("", "%s holds characters that a token never has.", tokenVariable)
		}
	}
	if strings.ContainsRune(text, 0) {
		return nil, invalid("", "%q holds a NUL character. %s", text, uriForms)
	}
	scheme := schemePattern.FindStringSubmatch(text)
	if scheme == nil {
		return nil, unsupported(text, "")
	}
	switch name := strings.ToLower(scheme[1]); name {
	case "unix":
		return parseSocket(strings.TrimPrefix(text[len("unix:"):], "//"), token)
	case "holdfast", "holdfast+tls":
		return parseNetwork(text, token, given, variable)
	default:
		return nil, unsupported(text, name)
	}
}

func parseSocket(path, token string) (*target, error) {
	if path == "" {
		return nil, invalid("", "unix: names no socket. %s", uriForms)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if len(path) > maxSocketPath {
		return nil, invalid("", "The path of a socket is at most %d bytes: %q is longer. Use a shorter one.",
			maxSocketPath, path)
	}
	return &target{uri: "unix:" + path, socket: path, loopback: true, token: token}, nil
}

func parseNetwork(text, token string, given settings, variable func(string) string) (*target, error) {
	parts, err := url.Parse(text)
	if err != nil {
		return nil, invalid("", "The address of the server cannot be read: %v. %s", unquoted(err), uriForms)
	}
	if parts.User != nil {
		return nil, invalid("", "Credentials do not belong in a URI, which ends up in logs: set %s in the environment.",
			tokenVariable)
	}
	host, port := parts.Hostname(), defaultPort
	if parts.Opaque != "" || host == "" {
		return nil, invalid("", "%q names no host. %s", text, uriForms)
	}
	if parts.Port() != "" {
		if port, err = strconv.Atoi(parts.Port()); err != nil || port < 1 || port > 65535 {
			return nil, invalid("", "A port is a number from 1 to 65535, not %q. %s", parts.Port(), uriForms)
		}
	}
	if parts.Path != "" && parts.Path != "/" || parts.Fragment != "" {
		return nil, invalid("", "%q has a path, and a server has none: end after the port. %s", text, uriForms)
	}
	insecure, err := isInsecure(parts.Query(), given, variable)
	if err != nil {
		return nil, err
	}
	found := &target{host: host, port: port, tls: parts.Scheme == "holdfast+tls", loopback: isLoopback(host), token: token}
	if !found.tls && !found.loopback && !insecure {
		return nil, invalid("", "holdfast://%s would send everything over the network in the clear. Use "+
			"holdfast+tls://%s, or say that the network is trusted: ?insecure=true, or %s=1.",
			found.address(), found.address(), insecureVariable)
	}
	found.uri = parts.Scheme + "://" + found.address()
	if !found.tls {
		if !found.loopback {
			found.uri += "?insecure=true" // so that it works where the variable is not set
		}
		return found, nil
	}
	found.caFile = firstOf(given.caFile, variable(caFileVariable))
	found.certFile = firstOf(given.certFile, variable(certFileVariable))
	found.keyFile = firstOf(given.keyFile, variable(keyFileVariable))
	if (found.certFile == "") != (found.keyFile == "") {
		return nil, invalid("", "%s and %s go together: a certificate, and its private key.",
			certFileVariable, keyFileVariable)
	}
	return found, nil
}

// address is host and port; empty for a socket.
func (t *target) address() string {
	if t.socket != "" {
		return ""
	}
	return net.JoinHostPort(t.host, strconv.Itoa(t.port))
}

func isInsecure(query url.Values, given settings, variable func(string) string) (bool, error) {
	for option := range query {
		if option != "insecure" {
			return false, invalid("", "Unknown option %q: a server's URI takes ?insecure=true only.", option)
		}
	}
	if query.Has("insecure") {
		return parseFlag(query.Get("insecure"), "?insecure")
	}
	if given.insecure {
		return true, nil
	}
	return parseFlag(variable(insecureVariable), insecureVariable)
}

func parseFlag(value, name string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "1", "true", "yes", "on":
		return true, nil
	case "", "0", "false", "no", "off":
		return false, nil
	default:
		return false, invalid("", "%s is true or false, not %q.", name, value)
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address := net.ParseIP(host)
	return address != nil && address.IsLoopback()
}

func unsupported(text, scheme string) error {
	if hostAndPort.MatchString(text) {
		bare := strings.TrimSuffix(text, "/")
		return invalid("", "%q lacks a scheme: write holdfast://%s, or holdfast+tls://%s.", text, bare, bare)
	}
	switch scheme {
	case "":
		return invalid("", "%q names no server, and this client starts none on a directory. %s", text, uriForms)
	case "http", "https":
		return invalid("", "Holdfast speaks gRPC, not %s://. %s", scheme, uriForms)
	default: // the text is not repeated: URIs of databases carry passwords
		return invalid("", "The scheme %q is not supported: data is reached through a Holdfast server only. %s",
			scheme, uriForms)
	}
}

// unquoted is the reason of an error of net/url, which repeats the whole text and with it what should not be shown.
func unquoted(err error) error {
	var problem *url.Error
	if errors.As(err, &problem) {
		return problem.Err
	}
	return errors.New("it is malformed")
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
