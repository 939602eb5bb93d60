package holdfast

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// certificate is one with its key, by an authority or by itself.
type certificate struct {
	parsed *x509.Certificate
	key    *ecdsa.PrivateKey
	file   string
	keyOf  string
}

func makeCertificate(t *testing.T, name string, authority *certificate, change func(*x509.Certificate)) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: authority == nil, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	made := &certificate{parsed: template, key: key}
	if authority == nil {
		authority = made
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.parsed, &key.PublicKey, authority.key)
	if err != nil {
		t.Fatal(err)
	}
	if made.parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	made.file, made.keyOf = filepath.Join(directory, name+".crt"), filepath.Join(directory, name+".key")
	for path, block := range map[string]*pem.Block{
		made.file: {Type: "CERTIFICATE", Bytes: der}, made.keyOf: {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// listenTLS starts a server with a certificate; with an authority of clients it wants one of these.
func listenTLS(t *testing.T, server, clients *certificate) string {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{server.parsed.Raw}, PrivateKey: server.key,
	}}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(clients.parsed)
	}
	return (&fakeServer{}).listen(t, grpc.Creds(credentials.NewTLS(config)))
}

func connect(t *testing.T, uri string, options ...Option) error {
	t.Helper()
	client, err := Connect(context.Background(), uri, append(options, quiet())...)
	if err == nil {
		err = client.Close()
	}
	return err
}

func TestTLSConnectsWithTheServersAuthorityAndTheClientsCertificate(t *testing.T) {
	leavesNoGoroutine(t)
	ca := makeCertificate(t, "ca", nil, nil)
	address := listenTLS(t, makeCertificate(t, "server", ca, nil), ca)
	mine := makeCertificate(t, "ana", ca, nil)
	err := connect(t, "holdfast+tls://"+address, WithCAFile(ca.file), WithCertificate(mine.file, mine.keyOf))
	if err != nil {
		t.Error(err)
	}
}

func TestWhatTLSExplainsIsSaidAtOnceWithTheWayOut(t *testing.T) {
	leavesNoGoroutine(t)
	ca, other := makeCertificate(t, "ca", nil, nil), makeCertificate(t, "other", nil, nil)
	sound := listenTLS(t, makeCertificate(t, "server", ca, nil), nil)
	expired := listenTLS(t, makeCertificate(t, "server", ca, func(c *x509.Certificate) {
		c.NotAfter = time.Now().Add(-time.Minute)
	}), nil)
	early := listenTLS(t, makeCertificate(t, "server", ca, func(c *x509.Certificate) {
		c.NotBefore = time.Now().Add(time.Minute)
	}), nil)
	elsewhere := listenTLS(t, makeCertificate(t, "server", ca, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"db.lan"}, nil
	}), nil)
	mutual := listenTLS(t, makeCertificate(t, "server", ca, nil), ca)
	stranger := makeCertificate(t, "stranger", other, nil)
	plain := (&fakeServer{}).listen(t)
	for name, trial := range map[string]struct {
		uri     string
		options []Option
		want    string
	}{
		"another authority":  {"holdfast+tls://" + sound, []Option{WithCAFile(other.file)}, "none of the authorities"},
		"public authorities": {"holdfast+tls://" + sound, nil, "HOLDFAST_TLS_CA_FILE"},
		"expired":            {"holdfast+tls://" + expired, []Option{WithCAFile(ca.file)}, "has expired"},
		"not valid yet":      {"holdfast+tls://" + early, []Option{WithCAFile(ca.file)}, "not valid yet"},
		"another host":       {"holdfast+tls://" + elsewhere, []Option{WithCAFile(ca.file)}, "is not for 127.0.0.1"},
		"no certificate":     {"holdfast+tls://" + mutual, []Option{WithCAFile(ca.file)}, "HOLDFAST_TLS_CERT_FILE"},
		"unknown client": {
			"holdfast+tls://" + mutual,
			[]Option{WithCAFile(ca.file), WithCertificate(stranger.file, stranger.keyOf)}, "--tls-client-ca",
		},
		"no TLS there":   {"holdfast+tls://" + plain, []Option{WithCAFile(ca.file)}, "does not speak TLS"},
		"no TLS here":    {"holdfast://" + sound, nil, "speaks TLS: use holdfast+tls://"},
		"a missing file": {"holdfast+tls://" + sound, []Option{WithCAFile("/nothing.crt")}, "HOLDFAST_TLS_CA_FILE"},
		"no certificate in the file": {
			"holdfast+tls://" + sound, []Option{WithCAFile(ca.keyOf)}, "BEGIN CERTIFICATE",
		},
		"a key of another certificate": {
			"holdfast+tls://" + sound,
			[]Option{WithCAFile(ca.file), WithCertificate(ca.file, other.keyOf)}, "without a passphrase",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := connect(t, trial.uri, trial.options...)
			if !errors.Is(err, ErrTLS) || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), trial.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestRenewedFilesAreUsedFromTheNextConnectionOn(t *testing.T) {
	ca, renewed := makeCertificate(t, "ca", nil, nil), makeCertificate(t, "renewed", nil, nil)
	trusted := filepath.Join(t.TempDir(), "trusted.crt")
	link := func(to *certificate) {
		_ = os.Remove(trusted)
		if err := os.Symlink(to.file, trusted); err != nil {
			t.Fatal(err)
		}
	}
	link(ca)
	config, err := tlsConfig(&target{tls: true, caFile: trusted})
	if err != nil {
		t.Fatal(err)
	}
	link(renewed)
	again, err := tlsConfig(&target{tls: true, caFile: trusted})
	if err != nil || again.RootCAs.Equal(config.RootCAs) {
		t.Errorf("the old files are used, %v", err)
	}
}
