package holdfast;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.ConnectivityState;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import io.grpc.netty.shaded.io.netty.channel.WriteBufferWaterMark;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Calls to one server from any thread, with retries and our own errors. */
final class Connection implements AutoCloseable {
  private static final int MIB = 1 << 20;
  private static final int MAX_MESSAGE = 4 * MIB;

  /** What a stream may have waiting here unread. */
  private static final int RECEIVE_WINDOW = 12 * MIB;

  /** Bytes of a stream that wait to be written before its sender is told to wait. */
  private static final int SEND_AHEAD = 2 * MIB;

  /**
   * Bytes that wait for the socket. By Netty's default of 64 KiB it would stop and start again all
   * the time, which costs more than to send.
   */
  private static final WriteBufferWaterMark WRITE_AHEAD = new WriteBufferWaterMark(MIB, 2 * MIB);

  private static final long CALL_SECONDS = 120;
  private static final int CONNECT_MILLIS = 5_000;

  private final Target target;
  private final RetryPolicy retry;
  private final Channel calls;
  private final Object lock = new Object();
  private volatile ManagedChannel channel;
  private volatile List<Object> files;
  private volatile boolean answered;
  private volatile boolean closed;

  Connection(Target target, RetryPolicy retry) {
    this.target = target;
    this.retry = retry;
    this.files = TlsFiles.fingerprint(target);
    this.channel = open(target);
    this.calls = ClientInterceptors.intercept(new NewestChannel(), headers(target));
  }

  Target target() {
    return target;
  }

  RetryPolicy retry() {
    return retry;
  }

  /** For stubs: calls on it carry the token, and are neither repeated nor translated. */
  Channel channel() {
    return calls;
  }

  /**
   * Call and wait for the answer, again while the server cannot be reached. A mutation's request id
   * makes its repetitions one.
   */
  <Q, R> R call(MethodDescriptor<Q, R> method, Q request) {
    return run(
        () ->
            ClientCalls.blockingUnaryCall(
                calls,
                method,
                CallOptions.DEFAULT.withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS),
                request));
  }

  /**
   * Begin a call of any kind.
   *
   * @param ahead Answers that may wait to be taken.
   */
  <Q, R> StreamCall<Q, R> stream(MethodDescriptor<Q, R> method, int ahead) {
    refuseIfClosed();
    return new StreamCall<>(
        calls.newCall(method, CallOptions.DEFAULT.withOnReadyThreshold(SEND_AHEAD)),
        ahead,
        this::noteAnswer);
  }

  /** Do something with the server, again while it cannot be reached. */
  <T> T run(Supplier<T> attempt) {
    return run(attempt, () -> 0);
  }

  /**
   * Do something with the server, again while it cannot be reached: a call, or a whole stream.
   *
   * @param attempt Is called again after a failure; a stream goes on where it was.
   * @param position How far a stream is. When it moved since the last failure, waiting begins anew.
   * @throws HoldfastException As the server says, or nobody answered within the policy's window.
   */
  <T> T run(Supplier<T> attempt, Supplier<Object> position) {
    Patience patience = null;
    Object reached = position.get();
    while (true) {
      refuseIfClosed();
      HoldfastException failure;
      try {
        T response = attempt.get();
        answered = true;
        return response;
      } catch (StatusRuntimeException error) {
        failure = translate(error);
      }
      if (!RpcErrors.isInterruption(failure)) {
        answered = true;
        throw failure;
      }
      // A reason is the server's own: it was heard, and its store or database is what is away.
      if (!answered && (failure.retryAfter().isPresent() || !failure.reason().isEmpty())) {
        answered = true;
        patience = null; // it is waited for longer
      }
      if (!answered) {
        refuseBadTls(failure);
      }
      if (!position.get().equals(reached)) {
        patience = null;
        reached = position.get();
      }
      patience = patience == null ? freshPatience() : patience;
      if (!patience.pause(failure.retryAfter())) {
        throw failure;
      }
      revive();
    }
  }

  /**
   * Raise if TLS is why a server was never heard: trying again would only put off the message. One
   * that was heard before may be changing its certificates, and is waited for.
   */
  private void refuseBadTls(HoldfastException failure) {
    HoldfastException told = failure;
    if (!(failure instanceof HoldfastException.TlsFailure)) {
      String problem = TlsProbe.problem(target, failure);
      told = problem == null ? null : new HoldfastException.TlsFailure(problem, failure);
    }
    if (told != null && !revive()) {
      throw told;
    }
  }

  /** Pauses for a server that was heard, or for one that was not. */
  Patience freshPatience() {
    return new Patience(retry, answered ? retry.window() : retry.firstWindow());
  }

  /**
   * Look for the server at once, where gRPC would put off its next look, and read new certificates.
   *
   * @return Whether there are new ones.
   */
  boolean revive() {
    if (target.tls()) {
      synchronized (lock) {
        List<Object> now = TlsFiles.fingerprint(target);
        if (!closed && !now.equals(files)) {
          ManagedChannel old = channel;
          try {
            channel = open(target);
          } catch (HoldfastException.TlsFailure halfWritten) {
            return false;
          }
          files = now;
          old.shutdown(); // what is going on there goes on
          return true;
        }
      }
    }
    if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
    }
    return false;
  }

  void noteAnswer() {
    answered = true;
  }

  HoldfastException translate(StatusRuntimeException error) {
    if (closed) {
      return new HoldfastException.Cancelled(
          "This client is closed; connect again to make a new one.");
    }
    return RpcErrors.translate(error, target);
  }

  boolean isClosed() {
    return closed;
  }

  @Override
  public void close() {
    synchronized (lock) {
      closed = true;
    }
    channel.shutdownNow();
    try {
      channel.awaitTermination(5, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void refuseIfClosed() {
    if (closed) {
      throw new HoldfastException.FailedPrecondition(
          Failure.of(
              io.grpc.Status.Code.FAILED_PRECONDITION,
              "This client is closed; connect again to make a new one."));
    }
  }

  private static ManagedChannel open(Target target) {
    ManagedChannelBuilder<?> builder;
    try {
      builder = Grpc.newChannelBuilder(target.address(), TlsFiles.credentials(target));
      if (builder instanceof NettyChannelBuilder netty) {
        netty.flowControlWindow(RECEIVE_WINDOW);
        netty.withOption(ChannelOption.WRITE_BUFFER_WATER_MARK, WRITE_AHEAD);
        if (!target.address().startsWith("unix:")) {
          netty.withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_MILLIS);
        }
      }
      return builder
          .maxInboundMessageSize(MAX_MESSAGE)
          // The server allows a ping every 10 s.
          .keepAliveTime(60, TimeUnit.SECONDS)
          .keepAliveTimeout(20, TimeUnit.SECONDS)
          // Retries are ours: gRPC's own stop once its buffer overflows.
          .disableRetry()
          .userAgent("holdfast-java")
          .build();
    } catch (IllegalArgumentException refused) {
      if (target.tls()) {
        throw new HoldfastException.TlsFailure(
            "The files of the connection do not make one with TLS: " + refused.getMessage(),
            refused);
      }
      throw new HoldfastException.InvalidArgument(
          target.uri() + " cannot be connected to on this system: " + refused.getMessage());
    }
  }

  private static io.grpc.ClientInterceptor headers(Target target) {
    Metadata headers = new Metadata();
    if (!target.token().isEmpty()) {
      headers.put(
          Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
          "Bearer " + target.token());
    }
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  /** Leads to the newest channel, so that stubs stay good when another one is opened. */
  private final class NewestChannel extends Channel {
    @Override
    public <Q, R> ClientCall<Q, R> newCall(MethodDescriptor<Q, R> method, CallOptions options) {
      return channel.newCall(method, options);
    }

    @Override
    public String authority() {
      return channel.authority();
    }
  }
}
