/** Calls to a server: over a connection opened when first used, with retries and our own errors. */

import { randomBytes } from "node:crypto";

import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Metadata,
  status as Status,
  type ClientDuplexStream,
  type ClientWritableStream,
  type ServiceError,
} from "@grpc/grpc-js";

import type { Target } from "./config.js";
import { CONNECT_TIMEOUT, Connection } from "./connection.js";
import { FailedPreconditionError, TlsError, UnavailableError, type HoldfastError } from "./errors.js";
import { DEFAULT_RETRY, Patience, type RetryPolicy } from "./patience.js";
import { isInterruption, isServiceError, retryAfter, translate, unreachable } from "./rpc-errors.js";
import { probeTls } from "./tls-probe.js";
import { fingerprint } from "./tls.js";

const CALL_TIMEOUT = 120_000;

/** How a call is made. */
export interface CallOptions {
  /** Milliseconds for each attempt; default: two minutes. */
  timeout?: number;
  /** Ends the call, and its repetitions. */
  signal?: AbortSignal | undefined;
}

/** How something that may take several attempts goes on. */
export interface RunOptions {
  /** How far it is. When this changed since the last failure, the window of retries begins anew. */
  position?: () => unknown;
  signal?: AbortSignal | undefined;
}

/** A random id for a mutation, by which its repetitions are one. */
export function newRequestId(): string {
  return randomBytes(16).toString("hex");
}

/** Calls to one server. */
export class Channel {
  private open: Connection | undefined;
  private readonly calls = new Set<Cancellable>();
  private closed = false;

  constructor(
    readonly target: Target,
    readonly retry: RetryPolicy = DEFAULT_RETRY,
  ) {}

  /**
   * Call and wait for the answer, trying again while the server cannot be reached.
   *
   * Every call of ours may be repeated: a mutation carries a request id, which makes its repetitions one.
   *
   * @throws {HoldfastError} As the server says; `UnavailableError` when nobody answered within the window of `retry`.
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const message = create(method.input, request);
    return this.run(() => this.callOnce(method, message, options), { signal: options.signal });
  }

  /** One attempt of `call`; raises gRPC's own error, for `run`. */
  callOnce<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageShape<I>,
    { timeout = CALL_TIMEOUT, signal }: CallOptions = {},
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const { client, metadata } = this.calling();
      const cancel = (): void => call.cancel();
      const call = client.makeUnaryRequest(
        pathOf(method),
        serializer(method.input),
        deserializer(method.output),
        message,
        metadata,
        { deadline: Date.now() + timeout },
        (error, answer) => {
          signal?.removeEventListener("abort", cancel);
          if (error) reject(error);
          else resolve(answer as MessageShape<O>);
        },
      );
      this.track(call);
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** The messages of a stream from the server; raises gRPC's own error, for `run`. Ending the iteration ends the call. */
  async *read<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const { client, metadata } = this.calling();
    const stream = this.track(
      client.makeServerStreamRequest(
        pathOf(method),
        serializer(method.input),
        deserializer(method.output),
        create(method.input, request),
        metadata,
      ),
    );
    // Cancelling a call is an error of its stream, and one that nobody listens for would end the process.
    stream.on("error", ignore);
    const cancel = (): void => stream.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      for await (const message of stream) {
        this.noteAnswer();
        yield message as MessageShape<O>;
      }
    } finally {
      signal?.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  /** As `read`, but raises Holdfast's errors. */
  async *readTranslated<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    try {
      yield* this.read(method, request, signal);
    } catch (error) {
      throw isServiceError(error) ? translate(error, this.target) : error;
    }
  }

  /** Begin a call that streams messages to the server; `answer` is settled when it ends, with gRPC's own error. */
  write<I extends DescMessage, O extends DescMessage>(
    method: DescMethodClientStreaming<I, O>,
  ): { stream: ClientWritableStream<MessageShape<I>>; answer: Promise<MessageShape<O>> } {
    const { client, metadata } = this.calling();
    let stream!: ClientWritableStream<MessageShape<I>>;
    const answer = new Promise<MessageShape<O>>((resolve, reject) => {
      stream = client.makeClientStreamRequest(
        pathOf(method),
        serializer(method.input),
        deserializer(method.output),
        metadata,
        (error, value) => {
          if (error) reject(error);
          else resolve(value as MessageShape<O>);
        },
      );
    });
    this.track(stream).on("error", ignore);
    answer.catch(ignore);
    return { stream, answer };
  }

  /** Begin a call that streams both ways; what is sent is encoded already. Listen for its `error`. */
  exchange<O extends DescMessage>(method: DescMethod & { output: O }): ClientDuplexStream<Buffer, MessageShape<O>> {
    const { client, metadata } = this.calling();
    const encoded = (raw: Buffer): Buffer => raw;
    return this.track(client.makeBidiStreamRequest(pathOf(method), encoded, deserializer(method.output), metadata));
  }

  /**
   * Do something with the server, again while it cannot be reached: a call, or a whole stream.
   *
   * `attempt` raises gRPC's errors, and is called again after a failure; a stream goes on where it was.
   *
   * @throws {HoldfastError} As the server says; `UnavailableError` when nobody answered within the window of `retry`.
   */
  async run<T>(attempt: () => Promise<T>, { position, signal }: RunOptions = {}): Promise<T> {
    let pauses: Patience | undefined;
    let reached = position?.();
    for (;;) {
      signal?.throwIfAborted();
      const connection = this.connection();
      const outcome = await this.tryOnce(connection, attempt);
      if ("answer" in outcome) return outcome.answer;
      const { failure } = outcome;
      this.refuseIfClosed();
      signal?.throwIfAborted();
      if (!isInterruption(failure)) {
        connection.answered = true;
        throw failure;
      }
      const told = retryAfter(failure);
      // A reason is the server's own: it was heard, and its store or database is what is away.
      if (!connection.answered && (told !== undefined || failure.reason !== "")) {
        connection.answered = true;
        pauses = undefined; // it is waited for longer
      }
      if (!connection.answered && pauses === undefined) {
        const problem = await probeTls(this.target);
        if (problem !== undefined) throw new TlsError(problem, { cause: failure });
      }
      const isNew = this.revive(connection);
      // Trying again would only put off the message; a server that was heard before may be changing its certificates.
      if (failure instanceof TlsError && !connection.answered && !isNew) throw failure;
      const now = position?.();
      if (now !== reached) [pauses, reached] = [undefined, now];
      pauses ??= new Patience(this.retry, connection.answered ? this.retry.window : this.retry.firstWindow);
      if (!(await pauses.pause(told, signal))) throw failure;
    }
  }

  /** Note that the server was heard; it is waited for longer then. */
  noteAnswer(): void {
    if (this.open !== undefined) this.open.answered = true;
  }

  /** End calls in progress and refuse further ones. Closing again does nothing. */
  close(): void {
    this.closed = true;
    for (const call of [...this.calls]) call.cancel();
    this.open?.close();
    this.open = undefined;
  }

  private async tryOnce<T>(
    connection: Connection,
    attempt: () => Promise<T>,
  ): Promise<{ answer: T } | { failure: HoldfastError }> {
    if (!(await connection.settled())) {
      const text = `no connection within ${CONNECT_TIMEOUT / 1_000} s`;
      return { failure: new UnavailableError(unreachable(this.target, text)) };
    }
    try {
      const answer = await attempt();
      connection.answered = true;
      return { answer };
    } catch (error) {
      if (!isServiceError(error)) {
        this.refuseIfClosed();
        throw error;
      }
      return { failure: translate(error, this.target) };
    }
  }

  /** Remember a call until it ends, so that `close` ends it. */
  private track<C extends Cancellable>(call: C): C {
    this.calls.add(call);
    call.once("status", () => this.calls.delete(call));
    return call;
  }

  private calling(): { client: Connection["client"]; metadata: Metadata } {
    const connection = this.connection();
    return { client: connection.client, metadata: connection.metadata() };
  }

  private connection(): Connection {
    this.refuseIfClosed();
    this.open ??= new Connection(this.target);
    return this.open;
  }

  /** Use certificates that were replaced meanwhile; whether there were such. */
  private revive(failed: Connection): boolean {
    if (!this.target.tls || this.open !== failed || fingerprint(this.target) === failed.files) return false;
    this.open = new Connection(this.target, { answered: failed.answered });
    return true;
  }

  private refuseIfClosed(): void {
    if (this.closed) throw new FailedPreconditionError("This client is closed; connect again to make a new one.");
  }
}

/** What calls of all kinds have in common. */
interface Cancellable {
  cancel(): void;
  once(event: "status", listener: () => void): unknown;
}

/** gRPC's error for a stream that the server ended before it was done. */
export function endedEarly(): ServiceError {
  const details = "the server ended the stream early";
  return Object.assign(new Error(details), { code: Status.UNAVAILABLE, details, metadata: new Metadata() });
}

/** For errors that somebody else hears of. */
export function ignore(): void {
  // Nothing to do.
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serializer<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => {
    const raw = toBinary(schema, message);
    return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  };
}

function deserializer<D extends DescMessage>(schema: D): (raw: Buffer) => MessageShape<D> {
  return (raw) => fromBinary(schema, raw);
}
