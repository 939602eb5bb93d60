/** The one place where gRPC's errors become Holdfast's. */

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { status as Status, type Metadata, type ServiceError } from "@grpc/grpc-js";

import type { Target } from "./config.js";
import * as errors from "./errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema, StatusSchema } from "./gen/google/rpc/error_details_pb.js";
import { tlsProblem } from "./tls.js";

const DOMAIN = "holdfast";
const DETAILS_KEY = "grpc-status-details-bin";
const REQUEST_ID_KEY = "x-holdfast-request-id";
// Seconds to wait at most, whatever a server says.
const MAX_DELAY = 60;

type ErrorClass = new (text: string, details: errors.ErrorDetails) => errors.HoldfastError;

const ERRORS: Readonly<Record<Status, ErrorClass>> = {
  [Status.OK]: errors.InternalError, // an error that says OK is a defect
  [Status.CANCELLED]: errors.UnavailableError, // nobody waits here for what was cancelled on this side
  [Status.UNKNOWN]: errors.InternalError,
  [Status.INVALID_ARGUMENT]: errors.InvalidArgumentError,
  [Status.DEADLINE_EXCEEDED]: errors.DeadlineExceededError,
  [Status.NOT_FOUND]: errors.NotFoundError,
  [Status.ALREADY_EXISTS]: errors.AlreadyExistsError,
  [Status.PERMISSION_DENIED]: errors.PermissionDeniedError,
  [Status.UNAUTHENTICATED]: errors.UnauthenticatedError,
  [Status.RESOURCE_EXHAUSTED]: errors.ResourceExhaustedError,
  [Status.FAILED_PRECONDITION]: errors.FailedPreconditionError,
  [Status.ABORTED]: errors.ConflictError,
  [Status.OUT_OF_RANGE]: errors.OutOfRangeError,
  [Status.UNIMPLEMENTED]: errors.UnimplementedError,
  [Status.INTERNAL]: errors.InternalError,
  [Status.UNAVAILABLE]: errors.UnavailableError,
  [Status.DATA_LOSS]: errors.DataLossError,
};

// What gRPC makes of a connection that breaks at the wrong moment, and of a server that stops in good order. One that has
// something to say gives a reason.
const BROKEN = new Set([Status.CANCELLED, Status.INTERNAL]);
const WITHOUT_STATUS = "No status information received";
// How the texts begin where a repetition would fail the same way: a message of another version, and a proxy's refusal.
const LASTING = /^(Exception |Response message parsing error|Request message serialization|Received HTTP status code)/;

/** Whether an error is gRPC's. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

/** Whether the same may succeed later: the server went away, says when to ask again, or this side was silent. */
export function isInterruption(failure: errors.HoldfastError): boolean {
  return failure instanceof errors.UnavailableError || failure.reason === "IDLE" || retryAfter(failure) !== undefined;
}

/** Milliseconds that the server told to wait; undefined where it told nothing. */
export function retryAfter(failure: errors.HoldfastError): number | undefined {
  return failure instanceof errors.ResourceExhaustedError ? failure.retryAfter : undefined;
}

/** Say in Holdfast's terms what went wrong, with what the server told about it and what to do. */
export function translate(error: ServiceError, target: Target): errors.HoldfastError {
  let code = error.code;
  let text = error.details || error.message;
  const { reason, metadata } = errorInfo(error.metadata);
  if (code !== Status.RESOURCE_EXHAUSTED) delete metadata["retry_after"];
  if (!reason && !LASTING.test(text) && (BROKEN.has(code) || text === WITHOUT_STATUS)) code = Status.UNAVAILABLE;
  if (code === Status.UNAVAILABLE && !reason) {
    const problem = tlsProblem(target, text);
    if (problem) return new errors.TlsError(`${problem} (${text})`, { cause: error });
  }
  if (code === Status.UNAUTHENTICATED && target.token) {
    text = `${text} What was sent is what HOLDFAST_TOKEN holds, or the token that was passed.`;
  }
  // A message with a reason comes from our server and says what to do by itself.
  return new ERRORS[code](reason ? text : withAdvice(code, text, target), {
    reason,
    metadata,
    requestId: texts(error.metadata, REQUEST_ID_KEY)[0] || metadata["error_id"] || "",
    cause: error,
  });
}

/** What to tell a user whose server does not answer. */
export function unreachable(target: Target, text: string): string {
  const separator = target.address.lastIndexOf(":");
  const [host, port] = [target.address.slice(0, separator), target.address.slice(separator + 1)];
  let start = "start one there";
  if (!target.address.startsWith("unix:")) {
    start = `start one${target.loopback ? "" : ` on ${host}`} with \`holdfast server --port ${port}\``;
  }
  return `No Holdfast server answers at ${target.uri}: ${start}, or set HOLDFAST_URI to where it is. (${text})`;
}

function withAdvice(code: Status, text: string, target: Target): string {
  const server = `The server at ${target.uri}`;
  switch (code) {
    case Status.UNAVAILABLE:
      return unreachable(target, text);
    case Status.DEADLINE_EXCEEDED:
      return `${server} did not answer in time; it may have done what was asked. (${text})`;
    case Status.UNIMPLEMENTED:
      return `${server} does not know this call: update it, or check the port. (${text})`;
    case Status.RESOURCE_EXHAUSTED:
      return `A message is larger than gRPC's limit; send less at once. (${text})`;
    default:
      return text;
  }
}

/** What ErrorInfo, a BadRequest's `field` and a RetryInfo say; empty without them. */
function errorInfo(trailing: Metadata): { reason: string; metadata: Record<string, string> } {
  const [raw] = trailing.get(DETAILS_KEY);
  const found = { reason: "", metadata: {} as Record<string, string> };
  if (!Buffer.isBuffer(raw)) return found;
  try {
    for (const detail of fromBinary(StatusSchema, raw).details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain === DOMAIN) {
        found.reason = info.reason;
        Object.assign(found.metadata, info.metadata);
      }
      const field = anyUnpack(detail, BadRequestSchema)?.fieldViolations[0]?.field;
      if (field !== undefined) found.metadata["field"] ??= field;
      const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
      if (delay !== undefined) {
        const seconds = Number(delay.seconds) + delay.nanos / 1e9;
        found.metadata["retry_after"] = String(Math.min(Math.max(seconds, 0), MAX_DELAY));
      }
    }
  } catch {
    // What a proxy put there is not ours; the status and its text still are.
    return { reason: "", metadata: {} };
  }
  return found;
}

function texts(metadata: Metadata, key: string): string[] {
  return metadata.get(key).map(String);
}
