import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, status as Status, type ServiceError } from "@grpc/grpc-js";

import { parseTarget } from "../src/config.js";
import { ErrorInfoSchema, RetryInfoSchema, StatusSchema } from "../src/gen/google/rpc/error_details_pb.js";
import * as errors from "../src/index.js";
import { isInterruption, translate } from "../src/rpc-errors.js";

const TARGET = parseTarget("holdfast://localhost:5600", {}, {});

function serviceError(code: Status, details: string, metadata = new Metadata()): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata });
}

describe("errors of the server", () => {
  test("have the class of their status, the reason, what it is about and the request's id", () => {
    const metadata = new Metadata();
    const info = create(ErrorInfoSchema, { reason: "RUN_NOT_FOUND", domain: "holdfast", metadata: { run_id: "7" } });
    const details = create(StatusSchema, { details: [anyPack(ErrorInfoSchema, info)] });
    metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, details)));
    metadata.set("x-holdfast-request-id", "abc");
    const error = translate(serviceError(Status.NOT_FOUND, "There is no run 7.", metadata), TARGET);
    assert.ok(error instanceof errors.NotFoundError);
    assert.deepEqual([error.code, error.reason, error.requestId], ["NOT_FOUND", "RUN_NOT_FOUND", "abc"]);
    assert.deepEqual(error.metadata, { run_id: "7" });
    assert.equal(error.message, "There is no run 7. [request abc]");
    assert.equal(error.text, "There is no run 7.");
    assert.equal(error.name, "NotFoundError");
  });

  test("of a connection that broke may succeed later, whatever gRPC calls them", () => {
    for (const code of [Status.UNAVAILABLE, Status.CANCELLED, Status.INTERNAL]) {
      const error = translate(serviceError(code, "Connection dropped"), TARGET);
      assert.ok(error instanceof errors.UnavailableError, Status[code]);
      assert.match(error.message, /holdfast server --port 5600/);
      assert.ok(isInterruption(error));
    }
    assert.ok(!isInterruption(translate(serviceError(Status.NOT_FOUND, "nothing"), TARGET)));
  });

  test("of a server that is busy say when to ask again", () => {
    const metadata = new Metadata();
    const retry = create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } });
    const details = create(StatusSchema, { details: [anyPack(RetryInfoSchema, retry)] });
    metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, details)));
    const error = translate(serviceError(Status.RESOURCE_EXHAUSTED, "busy", metadata), TARGET);
    assert.ok(error instanceof errors.ResourceExhaustedError);
    assert.equal(error.retryAfter, 1_500);
    assert.ok(isInterruption(error));
  });

  test("with details that are none keep status and text", () => {
    const metadata = new Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from([0xff, 0xff]));
    const error = translate(serviceError(Status.ABORTED, "somebody was faster", metadata), TARGET);
    assert.ok(error instanceof errors.ConflictError && error instanceof errors.FailedPreconditionError);
    assert.deepEqual([error.code, error.reason, error.text], ["ABORTED", "", "somebody was faster"]);
  });
});
