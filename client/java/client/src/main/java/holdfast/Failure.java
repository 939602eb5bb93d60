package holdfast;

import io.grpc.Status;
import java.io.Serializable;
import java.time.Duration;
import java.util.Map;

/**
 * What is known of a call that failed.
 *
 * @param code The status.
 * @param message For people: what, and what to do.
 * @param reason Of ErrorInfo; empty without one.
 * @param metadata Of ErrorInfo, and the field that a BadRequest names.
 * @param requestId As the server answered; empty when it did not.
 * @param retryAfter Of RetryInfo; null without one.
 * @param cause What gRPC or the system said; may be null.
 */
record Failure(
    Status.Code code,
    String message,
    String reason,
    Map<String, String> metadata,
    String requestId,
    Duration retryAfter,
    Throwable cause)
    implements Serializable {

  static Failure of(Status.Code code, String message) {
    return of(code, message, null);
  }

  static Failure of(Status.Code code, String message, Throwable cause) {
    return new Failure(code, message, "", Map.of(), "", null, cause);
  }

  /** The same with a reason of the server's list, for rules that are checked on this side too. */
  Failure withReason(String reason) {
    return new Failure(code, message, reason, metadata, requestId, retryAfter, cause);
  }
}
