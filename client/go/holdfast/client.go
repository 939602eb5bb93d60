package holdfast

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"time"

	"google.golang.org/grpc"

	pb "holdfast/client/go/holdfast/v1"
)

// Client is a connection to one server, for any number of goroutines. Close it when it is not needed any more.
type Client struct {
	conn         *connection
	capabilities *pb.GetCapabilitiesResponse
	userID       string
}

// Option changes how a client connects. What is not given comes from the environment.
type Option func(*settings)

type settings struct {
	token, caFile, certFile, keyFile string
	insecure                         bool
	retry                            retryPolicy
	logger                           *slog.Logger
}

// WithToken sends a token with each call, in place of that in HOLDFAST_TOKEN.
func WithToken(token string) Option { return func(s *settings) { s.token = token } }

// WithCAFile names the certificates (PEM) of the authorities to trust, in place of HOLDFAST_TLS_CA_FILE and the public ones.
func WithCAFile(path string) Option { return func(s *settings) { s.caFile = path } }

// WithCertificate names this client's own certificate and its key (PEM), for servers that want one, in place of
// HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE.
func WithCertificate(certFile, keyFile string) Option {
	return func(s *settings) { s.certFile, s.keyFile = certFile, keyFile }
}

// WithInsecure says that the network is trusted: holdfast:// may then lead beyond this machine, unencrypted.
func WithInsecure() Option { return func(s *settings) { s.insecure = true } }

// WithPatience sets how long calls are repeated while a server is away that answered before; 30 s without it.
func WithPatience(window time.Duration) Option {
	return func(s *settings) { s.retry.window, s.retry.firstWindow = window, min(window, s.retry.firstWindow) }
}

// WithLogger takes the warnings that the server is away; [slog.Default] does without it.
func WithLogger(logger *slog.Logger) Option { return func(s *settings) { s.logger = logger } }

// Connect connects to the server at a URI: holdfast://host:port, holdfast+tls://host:port or unix:/path; empty means
// HOLDFAST_URI. It asks the server what it can do, so that a wrong address, certificate or token is found here.
//
// The error is ErrUnavailable after some 5 s in which nobody answers, and ErrTLS at once when TLS explains why.
func Connect(ctx context.Context, uri string, options ...Option) (*Client, error) {
	given := settings{retry: defaultRetry, logger: slog.Default()}
	for _, option := range options {
		option(&given)
	}
	target, err := parseTarget(uri, given, os.Getenv)
	if err != nil {
		return nil, err
	}
	conn, err := dial(target, given)
	if err != nil {
		return nil, err
	}
	client := &Client{conn: conn, userID: userName()}
	client.capabilities, err = call(ctx, conn, client.artifacts().GetCapabilities, &pb.GetCapabilitiesRequest{})
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

// Close ends calls in progress, and the connection.
func (c *Client) Close() error { return c.conn.grpc.Close() }

// ServerVersion is what the server said when it was connected to, such as "0.1.0".
func (c *Client) ServerVersion() string { return c.capabilities.GetServerVersion() }

// Principal is who the server takes this client for; empty when it asks nobody.
func (c *Client) Principal() string { return c.capabilities.GetPrincipal() }

// URI is where the server is, normalized and without secrets.
func (c *Client) URI() string { return c.conn.target.uri }

// Conn is for generated stubs of package v1, which reach what this package has no methods for. Errors of their calls are
// of type [*Error]; nothing is repeated.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn.grpc }

func (c *Client) artifacts() pb.ArtifactServiceClient {
	return pb.NewArtifactServiceClient(c.conn.grpc)
}

func (c *Client) experiments() pb.ExperimentServiceClient {
	return pb.NewExperimentServiceClient(c.conn.grpc)
}

func (c *Client) runs() pb.RunServiceClient { return pb.NewRunServiceClient(c.conn.grpc) }

func (c *Client) models() pb.ModelServiceClient { return pb.NewModelServiceClient(c.conn.grpc) }

func (c *Client) registry() pb.ModelRegistryServiceClient {
	return pb.NewModelRegistryServiceClient(c.conn.grpc)
}

// userName is who runs this process; empty when the system does not know.
func userName() string {
	current, err := user.Current()
	if err != nil {
		return ""
	}
	return current.Username
}
