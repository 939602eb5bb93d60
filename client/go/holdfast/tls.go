package holdfast

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
)

// probeTimeout bounds a look at a server, which is near or was reached just now.
const probeTimeout = 3 * time.Second

// fileCredentials are those of the user's files, which are read at each handshake, so that renewed certificates are used
// from the next connection on. The embedded ones answer what is not of this client.
type fileCredentials struct {
	credentials.TransportCredentials
	target *target
	failed *atomic.Pointer[error]
}

func (f *fileCredentials) ClientHandshake(
	ctx context.Context, authority string, conn net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	config, err := tlsConfig(f.target)
	if err != nil {
		f.failed.Store(&err)
		return nil, nil, err
	}
	secure, info, err := credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
	if err != nil {
		f.failed.Store(&err)
		return nil, nil, err
	}
	f.failed.Store(nil)
	return secure, info, nil
}

func (f *fileCredentials) Clone() credentials.TransportCredentials {
	return &fileCredentials{f.TransportCredentials.Clone(), f.target, f.failed}
}

// fileError is a file of the user's that does not hold what it should; its text says what to do.
type fileError struct{ text string }

func (e *fileError) Error() string { return e.text }

func tlsConfig(target *target) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if target.caFile != "" {
		pem, err := os.ReadFile(target.caFile)
		if err != nil {
			return nil, &fileError{fmt.Sprintf("%s: %v", caFileVariable, err)}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &fileError{fmt.Sprintf("%s: %s holds no whole certificate in PEM (-----BEGIN CERTIFICATE-----).",
				caFileVariable, target.caFile)}
		}
	}
	if target.certFile != "" {
		certificate, err := tls.LoadX509KeyPair(target.certFile, target.keyFile)
		if err != nil {
			return nil, &fileError{fmt.Sprintf("%s and %s must be a certificate and its private key, in PEM and without a "+
				"passphrase; %s and %s are not (%v).",
				certFileVariable, keyFileVariable, target.certFile, target.keyFile, err)}
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// explainTLS is the error to raise when TLS is why a server was never heard: trying again would only put off the
// message. Nil when it is not why.
func (c *connection) explainTLS(ctx context.Context, failure *Error) error {
	if failure.Code != codes.Unavailable || failure.Reason != "" || c.target.socket != "" {
		return nil
	}
	problem := ""
	if c.target.tls {
		if failed := c.handshake.Load(); failed != nil {
			problem = explainHandshake(*failed, c.target)
		} else if isCutOff(failure.Message) {
			problem = unknownClient(c.target)
		}
	} else if isCutOff(failure.Message) && speaksTLS(ctx, c.target) {
		problem = fmt.Sprintf("The server at %s speaks TLS: use holdfast+tls://%s. Unless a public authority certified it, "+
			"%s names the certificate of its authority.", c.target.uri, c.target.address(), caFileVariable)
	}
	if problem == "" {
		return nil
	}
	return &Error{Code: codes.Unavailable, Message: problem, tls: true, cause: failure}
}

// explainHandshake says what a handshake failed by, with the way out; empty when TLS is not why.
func explainHandshake(err error, target *target) string {
	var file *fileError
	var unknown x509.UnknownAuthorityError
	var unsuitable x509.CertificateInvalidError
	var otherHost x509.HostnameError
	var noTLS tls.RecordHeaderError
	certificate := fmt.Sprintf("The certificate of the server at %s", target.uri)
	switch {
	case errors.As(err, &file):
		return file.text
	case errors.As(err, &unsuitable) && unsuitable.Reason == x509.Expired:
		if time.Now().Before(unsuitable.Cert.NotBefore) {
			return certificate + " is not valid yet: check this machine's clock and the server's."
		}
		return certificate + " has expired: have it renewed, or check this machine's clock."
	case errors.As(err, &unknown), errors.As(err, &unsuitable):
		trusted := "the public ones"
		if target.caFile != "" {
			trusted = "those in " + target.caFile
		}
		return fmt.Sprintf("%s is by none of the authorities that this client trusts, %s: %s must name the certificate of "+
			"the authority that issued it.", certificate, trusted, caFileVariable)
	case errors.As(err, &otherHost):
		return fmt.Sprintf("%s is not for %s: connect by a name or address that it is for, or have it made for this one.",
			certificate, target.host)
	case errors.As(err, &noTLS):
		return fmt.Sprintf("The server at %s does not speak TLS: start it with --tls-cert and --tls-key, or, on this "+
			"machine or a trusted network, use holdfast://%s.", target.uri, target.address())
	case strings.Contains(err.Error(), "remote error: tls: "):
		return unknownClient(target)
	default:
		return ""
	}
}

// isCutOff recognises gRPC's words for a connection that the other side closed before it said anything; with TLS 1.3 a
// server refuses a client's certificate only after the handshake.
func isCutOff(text string) bool {
	return strings.Contains(text, "error reading server preface") || strings.Contains(text, "remote error: tls: ") ||
		strings.Contains(text, "connection reset by peer") || strings.Contains(text, "broken pipe")
}

func unknownClient(target *target) string {
	if target.certFile == "" {
		return fmt.Sprintf("The server at %s closes connections right after the handshake, as one does that wants a "+
			"certificate of its clients: %s and %s name yours and its key.", target.uri, certFileVariable, keyFileVariable)
	}
	return fmt.Sprintf("The server at %s does not accept the certificate in %s: it must be valid, and by an authority that "+
		"the server knows as --tls-client-ca.", target.uri, target.certFile)
}

// speaksTLS asks the server itself; it sends the beginning of a handshake and nothing of the user's.
func speaksTLS(ctx context.Context, target *target) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, // a look, over which nothing is said
		NextProtos:         []string{"h2"},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", target.address())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
