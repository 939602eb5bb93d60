package holdfast;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.time.Duration;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The one place where gRPC's errors become Holdfast's. */
final class RpcErrors {
  private static final String DOMAIN = "holdfast";
  private static final Metadata.Key<String> REQUEST_ID =
      Metadata.Key.of("x-holdfast-request-id", Metadata.ASCII_STRING_MARSHALLER);

  /** To wait at most, whatever a server says. */
  private static final Duration MAX_DELAY = Duration.ofSeconds(60);

  /** What gRPC may call a connection that broke, besides UNAVAILABLE. */
  private static final Set<Status.Code> BREAKING =
      EnumSet.of(Status.Code.CANCELLED, Status.Code.INTERNAL, Status.Code.UNKNOWN);

  /** How the texts begin of what would fail the same way again: a message of another version. */
  private static final List<String> LASTING =
      List.of("Failed to read message", "Invalid protobuf", "gRPC message exceeds");

  private RpcErrors() {}

  /** Say in Holdfast's terms what went wrong, with what the server told and what to do. */
  static HoldfastException translate(StatusRuntimeException error, Target target) {
    Status status = error.getStatus();
    Metadata trailers = error.getTrailers() == null ? new Metadata() : error.getTrailers();
    Details details = detailsOf(status, trailers);
    String text =
        status.getDescription() == null ? status.getCode().name() : status.getDescription();
    Status.Code code = status.getCode();
    if (details.reason.isEmpty() && isBroken(status, text)) {
      code = Status.Code.UNAVAILABLE;
    }
    if (code == Status.Code.UNAVAILABLE && details.reason.isEmpty()) {
      String problem = TlsFiles.problem(target, error);
      if (problem != null) {
        return new HoldfastException.TlsFailure(problem, error);
      }
    }
    if (code == Status.Code.UNAUTHENTICATED && !target.token().isEmpty()) {
      text += " What was sent is the token of HOLDFAST_TOKEN, or that of the options.";
    }
    String answered = trailers.get(REQUEST_ID);
    return HoldfastException.of(
        new Failure(
            code,
            details.reason.isEmpty() ? withAdvice(code, text, target) : text,
            details.reason,
            Map.copyOf(details.metadata),
            answered == null ? details.metadata.getOrDefault("error_id", "") : answered,
            details.retryAfter,
            error));
  }

  /** Whether the same may succeed later: the server went away, or says when to ask again. */
  static boolean isInterruption(HoldfastException failure) {
    return failure instanceof HoldfastException.Unavailable
        || failure.reason().equals("IDLE")
        || failure.retryAfter().isPresent();
  }

  /** What gRPC makes of a connection that breaks at the wrong moment. */
  private static boolean isBroken(Status status, String text) {
    return BREAKING.contains(status.getCode())
        && (text.matches(
                "(?s).*(RST_STREAM|HTTP/2 error|[Cc]onnection|[Cc]hannel closed|closed for|GOAWAY).*")
            || isOfChannel(status.getCause()))
        && LASTING.stream().noneMatch(text::startsWith);
  }

  /** Whether a socket's error is below: gRPC has several texts for those, and may change them. */
  private static boolean isOfChannel(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof IOException) {
        return !(cause instanceof InvalidProtocolBufferException);
      }
    }
    return false;
  }

  private static String withAdvice(Status.Code code, String text, Target target) {
    String server = "The server at " + target.uri();
    return switch (code) {
      case UNAVAILABLE ->
          "No Holdfast server answers at "
              + target.uri()
              + ": start one there, or set HOLDFAST_URI to where it is. ("
              + text
              + ")";
      case DEADLINE_EXCEEDED ->
          server + " did not answer in time; it may have done what was asked. (" + text + ")";
      case UNIMPLEMENTED ->
          server + " does not know this call: update it, or check the port. (" + text + ")";
      case RESOURCE_EXHAUSTED ->
          "A message is larger than gRPC's limit; send less at once. (" + text + ")";
      default -> text;
    };
  }

  private static final class Details {
    private String reason = "";
    private final Map<String, String> metadata = new HashMap<>();
    private Duration retryAfter;
  }

  private static Details detailsOf(Status status, Metadata trailers) {
    try {
      Details details = new Details();
      com.google.rpc.Status told = StatusProto.fromStatusAndTrailers(status, trailers);
      for (Any detail : told == null ? List.<Any>of() : told.getDetailsList()) {
        read(detail, details);
      }
      return details;
    } catch (InvalidProtocolBufferException | IllegalArgumentException unreadable) {
      // What a proxy put there is not ours; the status and its text still are.
      return new Details();
    }
  }

  private static void read(Any detail, Details details) throws InvalidProtocolBufferException {
    if (detail.is(ErrorInfo.class)) {
      ErrorInfo info = detail.unpack(ErrorInfo.class);
      if (info.getDomain().equals(DOMAIN)) {
        details.reason = info.getReason();
        details.metadata.putAll(info.getMetadataMap());
      }
    } else if (detail.is(BadRequest.class)) {
      BadRequest bad = detail.unpack(BadRequest.class);
      if (bad.getFieldViolationsCount() > 0) {
        details.metadata.putIfAbsent("field", bad.getFieldViolations(0).getField());
      }
    } else if (detail.is(RetryInfo.class)) {
      com.google.protobuf.Duration told = detail.unpack(RetryInfo.class).getRetryDelay();
      Duration delay = Duration.ofSeconds(Math.max(told.getSeconds(), 0), told.getNanos());
      details.retryAfter = delay.compareTo(MAX_DELAY) > 0 ? MAX_DELAY : delay;
    }
  }
}
