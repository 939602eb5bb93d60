/**
 * Every error that this client raises.
 *
 *     HoldfastError
 *     ├── InvalidArgumentError      a value breaks a rule; the message names the rule
 *     ├── NotFoundError             a run, experiment, model, file or alias is not there
 *     ├── AlreadyExistsError        a name or id is taken
 *     ├── FailedPreconditionError   the state forbids it: a deleted run, a finalized model
 *     │   └── ConflictError         somebody else changed it first; read again and retry
 *     ├── PermissionDeniedError
 *     ├── UnauthenticatedError
 *     ├── ResourceExhaustedError    a quota or a message limit
 *     ├── OutOfRangeError           what was to be gone on with is not kept any more: read again, begin anew
 *     ├── DataLossError             stored or received bytes do not have their digest
 *     ├── UnavailableError          the server cannot be reached, or is stopping
 *     │   └── TlsError              no secure connection with these certificates and addresses; change them
 *     ├── DeadlineExceededError
 *     ├── UnimplementedError        the server is older than this client
 *     ├── InternalError             a defect of the server; the request id is in its log
 *     └── LocalFileError            a local file cannot be logged or written as asked
 */

/** The names of gRPC's status codes that errors have. */
export type StatusName =
  | "CANCELLED"
  | "UNKNOWN"
  | "INVALID_ARGUMENT"
  | "DEADLINE_EXCEEDED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "OUT_OF_RANGE"
  | "UNIMPLEMENTED"
  | "INTERNAL"
  | "UNAVAILABLE"
  | "DATA_LOSS"
  | "UNAUTHENTICATED";

/** What an error knows besides its message. */
export interface ErrorDetails {
  /** A word that programs act on, such as `RUN_NOT_FOUND`; absent for errors found on this side. docs/errors.md. */
  reason?: string;
  /** What the server adds, such as the names concerned. */
  metadata?: Readonly<Record<string, string>>;
  /** Names the call in the server's log; absent when no server answered. */
  requestId?: string;
  cause?: unknown;
}

/** Base of all errors of this package. */
export abstract class HoldfastError extends Error {
  /** The gRPC status that this kind of error has. */
  abstract readonly code: StatusName;
  /** A name of `ErrorReason`; empty for errors found on this side. */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Names the call in the server's log; empty when no server answered. */
  readonly requestId: string;
  /** What went wrong and what to do about it, without the request id that `message` ends with. */
  readonly text: string;

  constructor(text: string, details: ErrorDetails = {}) {
    super(
      details.requestId ? `${text} [request ${details.requestId}]` : text,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = new.target.name;
    this.text = text;
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.requestId = details.requestId ?? "";
  }
}

/** A value breaks a rule; the message names the rule. */
export class InvalidArgumentError extends HoldfastError {
  readonly code = "INVALID_ARGUMENT";
}

/** A run, experiment, model, file or alias is not there. */
export class NotFoundError extends HoldfastError {
  readonly code = "NOT_FOUND";
}

/** A name or id is taken. */
export class AlreadyExistsError extends HoldfastError {
  readonly code = "ALREADY_EXISTS";
}

/** The state of the resource forbids the call. */
export class FailedPreconditionError extends HoldfastError {
  readonly code: "FAILED_PRECONDITION" | "ABORTED" = "FAILED_PRECONDITION";
}

/** Somebody else changed the resource first; read it again and retry. */
export class ConflictError extends FailedPreconditionError {
  override readonly code = "ABORTED";
}

/** The caller may not do this. */
export class PermissionDeniedError extends HoldfastError {
  readonly code = "PERMISSION_DENIED";
}

/** The server wants credentials, or does not accept these. */
export class UnauthenticatedError extends HoldfastError {
  readonly code = "UNAUTHENTICATED";
}

/** A quota or a limit of size is reached. */
export class ResourceExhaustedError extends HoldfastError {
  readonly code = "RESOURCE_EXHAUSTED";

  /** Milliseconds after which the server, which is busy, wants to be asked again; undefined where that does not help. */
  get retryAfter(): number | undefined {
    const told = this.metadata["retry_after"];
    return told === undefined ? undefined : Number(told) * 1_000;
  }
}

/** What the caller would go on with, such as a watch after a week, is not kept; read again and begin anew. */
export class OutOfRangeError extends HoldfastError {
  readonly code = "OUT_OF_RANGE";
}

/** Stored or received bytes do not have their digest. */
export class DataLossError extends HoldfastError {
  readonly code = "DATA_LOSS";
}

/** The server cannot be reached or is stopping; the call may be repeated. */
export class UnavailableError extends HoldfastError {
  readonly code = "UNAVAILABLE";
}

/** No secure connection can be made: a certificate, a name or a file is wrong. The message says which. */
export class TlsError extends UnavailableError {}

/** The call took longer than its deadline. */
export class DeadlineExceededError extends HoldfastError {
  readonly code = "DEADLINE_EXCEEDED";
}

/** The server does not know this call; it is older than this client. */
export class UnimplementedError extends HoldfastError {
  readonly code = "UNIMPLEMENTED";
}

/** A defect of the server; `requestId` names the entry in its log. */
export class InternalError extends HoldfastError {
  readonly code = "INTERNAL";
}

/** A local file is missing, or cannot be logged or written as asked: a socket, an escaping symlink, a colliding name. */
export class LocalFileError extends HoldfastError {
  readonly code: "FAILED_PRECONDITION" | "NOT_FOUND";

  constructor(text: string, details: ErrorDetails & { missing?: boolean } = {}) {
    super(text, details);
    this.code = details.missing ? "NOT_FOUND" : "FAILED_PRECONDITION";
  }
}
