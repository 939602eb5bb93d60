package holdfast;

import io.grpc.Status;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * Every error that Holdfast raises. The kinds that a caller may react to are the classes in here.
 *
 * <p>The message tells people what went wrong and what to do about it; programs act on the class
 * and on {@link #reason()}, which docs/errors.md lists.
 */
public class HoldfastException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final Failure failure;

  HoldfastException(Failure failure) {
    super(
        failure.requestId().isEmpty()
            ? failure.message()
            : failure.message() + " [request " + failure.requestId() + "]",
        failure.cause());
    this.failure = failure;
  }

  /** What went wrong and what to do about it, without the request id. */
  public String detail() {
    return failure.message();
  }

  /** The status, as gRPC calls it. */
  public Status.Code code() {
    return failure.code();
  }

  /**
   * A name of {@code ErrorReason} such as {@code RUN_NOT_FOUND}; empty when the server gave none.
   */
  public String reason() {
    return failure.reason();
  }

  /** What the server adds, such as the names concerned. */
  public Map<String, String> metadata() {
    return failure.metadata();
  }

  /** Names the call in the server's log; empty when no server answered. */
  public String requestId() {
    return failure.requestId();
  }

  /** How long the server wants to be left alone, if it said so. Calls waited as told already. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(failure.retryAfter());
  }

  /** The exception of the kind that the failure's status stands for. */
  static HoldfastException of(Failure failure) {
    return switch (failure.code()) {
      case INVALID_ARGUMENT -> new InvalidArgument(failure);
      case NOT_FOUND -> new NotFound(failure);
      case ALREADY_EXISTS -> new AlreadyExists(failure);
      case FAILED_PRECONDITION -> new FailedPrecondition(failure);
      case ABORTED -> new Conflict(failure);
      case PERMISSION_DENIED -> new PermissionDenied(failure);
      case UNAUTHENTICATED -> new Unauthenticated(failure);
      case RESOURCE_EXHAUSTED -> new ResourceExhausted(failure);
      case OUT_OF_RANGE -> new OutOfRange(failure);
      case DATA_LOSS -> new DataLoss(failure);
      case UNAVAILABLE -> new Unavailable(failure);
      case DEADLINE_EXCEEDED -> new DeadlineExceeded(failure);
      case UNIMPLEMENTED -> new Unimplemented(failure);
      case CANCELLED -> new Cancelled(failure);
      case OK, UNKNOWN, INTERNAL -> new Internal(failure);
    };
  }

  /** A value breaks a rule; the message names the rule. */
  public static final class InvalidArgument extends HoldfastException {
    private static final long serialVersionUID = 1L;

    InvalidArgument(Failure failure) {
      super(failure);
    }

    InvalidArgument(String message) {
      this(Failure.of(Status.Code.INVALID_ARGUMENT, message));
    }
  }

  /** A run, experiment, model, file or alias is not there. */
  public static final class NotFound extends HoldfastException {
    private static final long serialVersionUID = 1L;

    NotFound(Failure failure) {
      super(failure);
    }
  }

  /** A name or id is taken. */
  public static final class AlreadyExists extends HoldfastException {
    private static final long serialVersionUID = 1L;

    AlreadyExists(Failure failure) {
      super(failure);
    }
  }

  /** The state of the resource forbids the call. */
  public static class FailedPrecondition extends HoldfastException {
    private static final long serialVersionUID = 1L;

    FailedPrecondition(Failure failure) {
      super(failure);
    }
  }

  /** Somebody else changed the resource first; read it again and retry. */
  public static final class Conflict extends FailedPrecondition {
    private static final long serialVersionUID = 1L;

    Conflict(Failure failure) {
      super(failure);
    }
  }

  /** The caller may not do this. */
  public static final class PermissionDenied extends HoldfastException {
    private static final long serialVersionUID = 1L;

    PermissionDenied(Failure failure) {
      super(failure);
    }
  }

  /** The server wants credentials, or does not accept these. */
  public static final class Unauthenticated extends HoldfastException {
    private static final long serialVersionUID = 1L;

    Unauthenticated(Failure failure) {
      super(failure);
    }
  }

  /** A quota or a limit of size is reached. */
  public static final class ResourceExhausted extends HoldfastException {
    private static final long serialVersionUID = 1L;

    ResourceExhausted(Failure failure) {
      super(failure);
    }
  }

  /** What the caller would go on with, such as a watch after a week, is not kept; begin anew. */
  public static final class OutOfRange extends HoldfastException {
    private static final long serialVersionUID = 1L;

    OutOfRange(Failure failure) {
      super(failure);
    }
  }

  /** Stored or received bytes do not have their digest. */
  public static final class DataLoss extends HoldfastException {
    private static final long serialVersionUID = 1L;

    DataLoss(Failure failure) {
      super(failure);
    }

    DataLoss(String message) {
      this(Failure.of(Status.Code.DATA_LOSS, message));
    }
  }

  /** The server cannot be reached or is stopping; the call may be repeated. */
  public static class Unavailable extends HoldfastException {
    private static final long serialVersionUID = 1L;

    Unavailable(Failure failure) {
      super(failure);
    }
  }

  /**
   * No secure connection with these certificates and addresses; the message says what to change.
   */
  public static final class TlsFailure extends Unavailable {
    private static final long serialVersionUID = 1L;

    TlsFailure(String message, Throwable cause) {
      super(Failure.of(Status.Code.UNAVAILABLE, message, cause));
    }
  }

  /** The call took longer than its deadline; what was asked may have been done. */
  public static final class DeadlineExceeded extends HoldfastException {
    private static final long serialVersionUID = 1L;

    DeadlineExceeded(Failure failure) {
      super(failure);
    }
  }

  /** The server does not know this call; it is older than this client. */
  public static final class Unimplemented extends HoldfastException {
    private static final long serialVersionUID = 1L;

    Unimplemented(Failure failure) {
      super(failure);
    }
  }

  /** A defect of the server; the request id names the entry in its log. */
  public static final class Internal extends HoldfastException {
    private static final long serialVersionUID = 1L;

    Internal(Failure failure) {
      super(failure);
    }
  }

  /** The thread was interrupted, or the client closed, while the call was going on. */
  public static final class Cancelled extends HoldfastException {
    private static final long serialVersionUID = 1L;

    Cancelled(Failure failure) {
      super(failure);
    }

    Cancelled(String message) {
      this(Failure.of(Status.Code.CANCELLED, message));
    }
  }

  /**
   * A local file cannot be logged or written as asked: it is not there, a socket, or in the way.
   */
  public static final class LocalFile extends HoldfastException {
    private static final long serialVersionUID = 1L;

    LocalFile(String message) {
      this(message, null);
    }

    LocalFile(String message, Throwable cause) {
      super(Failure.of(Status.Code.FAILED_PRECONDITION, message, cause));
    }
  }
}
