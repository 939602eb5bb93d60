package holdfast

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

const (
	maxMessage = 4 << 20
	// What a stream may have waiting here unread; with less, a line of 1 Gbit/s and 50 ms is not used to the full.
	streamWindow     = 12 << 20
	connectionWindow = 24 << 20
	// What is read and written by one system call.
	bufferSize = 256 << 10
)

// connection is one gRPC connection to a server, which is opened when first used and again whenever it broke. Errors of
// its calls, also of those that generated stubs make on it, are of type [*Error].
type connection struct {
	grpc      *grpc.ClientConn
	target    *target
	retry     retryPolicy
	logger    *slog.Logger
	answered  atomic.Bool           // a server was heard
	handshake atomic.Pointer[error] // what the last TLS handshake failed with; nil after one that succeeded
}

func dial(target *target, given settings) (*connection, error) {
	c := &connection{target: target, retry: given.retry, logger: given.logger}
	var transport credentials.TransportCredentials = insecure.NewCredentials()
	if target.tls {
		transport = &fileCredentials{
			TransportCredentials: credentials.NewTLS(nil), target: target, failed: &c.handshake,
		}
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithChainUnaryInterceptor(c.translateCall),
		grpc.WithChainStreamInterceptor(c.translateStream),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithReadBufferSize(bufferSize),
		grpc.WithWriteBufferSize(bufferSize),
		// The server allows a ping every 10 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		// gRPC would wait up to two minutes before it looks whether a restarted server is back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Retries are ours, as streams go on where they were.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("holdfast-go"),
	}
	if target.token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(target.token)))
	}
	if target.loopback { // a proxy cannot reach what is on this machine
		options = append(options, grpc.WithNoProxy())
	}
	address := "dns:///" + target.address()
	if target.socket != "" {
		address = "unix:" + target.socket
	}
	opened, err := grpc.NewClient(address, options...)
	if err != nil {
		return nil, invalid("", "%s cannot be connected to: %v", target.uri, err)
	}
	c.grpc = opened
	return c, nil
}

// bearer sends a token with each call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false, as parseTarget has decided where a token may go.
func (b bearer) RequireTransportSecurity() bool { return false }

func (c *connection) translateCall(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	var trailer metadata.MD
	err := invoke(ctx, method, request, reply, conn, append(options, grpc.Trailer(&trailer))...)
	if err == nil {
		return nil
	}
	return translate(ctx, err, trailer, c.target)
}

func (c *connection) translateStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer,
	options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, options...)
	if err != nil {
		return nil, translate(ctx, err, nil, c.target)
	}
	return &translatingStream{ClientStream: stream, caller: ctx, target: c.target}, nil
}

// translatingStream keeps the caller's context: gRPC ends that of the stream together with the stream.
type translatingStream struct {
	grpc.ClientStream
	caller context.Context
	target *target
}

func (s *translatingStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return translate(s.caller, err, s.Trailer(), s.target)
}

func (s *translatingStream) SendMsg(message any) error {
	err := s.ClientStream.SendMsg(message)
	if err == nil || errors.Is(err, io.EOF) { // RecvMsg tells why
		return err
	}
	return translate(s.caller, err, nil, s.target)
}

// newID makes a request id, by which the repetitions of a mutation have one effect.
func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}
