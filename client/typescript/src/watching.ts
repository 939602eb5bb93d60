/** Follows what changes, over any number of broken connections and restarts of the server. */

import type { Channel } from "./channel.js";
import { HoldfastError, UnavailableError } from "./errors.js";
import { changeFromMessage, type WatchEvent } from "./events.js";
import { EventSubject, EventType, type Event as EventMessage } from "./gen/holdfast/v1/event_pb.js";
import {
  ModelRegistryService,
  type WatchRegisteredModelResponse,
} from "./gen/holdfast/v1/model_registry_service_pb.js";
import { RunService, type WatchRunResponse } from "./gen/holdfast/v1/run_service_pb.js";
import { Patience } from "./patience.js";
import { registeredModelFromMessage, type RegisteredModel } from "./registry.js";
import { isInterruption, isServiceError, retryAfter, translate } from "./rpc-errors.js";
import { getRun, runFromMessage, type RunState } from "./runs.js";

/** How a watch goes on. */
export interface WatchOptions {
  /** `cursor` of an event or watch of the same thing, to go on behind it; default: begin with how it is. */
  cursor?: string;
  /** Milliseconds to look for a server that went away; default: for as long as it takes. */
  retryFor?: number;
}

/** A part of a watch: a heartbeat has a cursor only. */
interface Update<State> {
  readonly cursor: string;
  readonly event?: EventMessage | undefined;
  readonly state?: (() => State | Promise<State>) | undefined;
}

/**
 * Events as they come; leaving its `for await` loop ends it, and so does `close`.
 *
 * It goes on where it was when the connection breaks or the server is restarted. What came is neither missed nor repeated.
 */
export class Watch<State> implements AsyncIterableIterator<WatchEvent<State>> {
  /** Behind the last event that was taken; kept fresh while nothing happens. Empty before the first. */
  cursor: string;
  private readonly closing = new AbortController();
  private readonly window: number;
  private readonly events: AsyncGenerator<WatchEvent<State>, undefined, undefined>;
  private patience: Patience;
  private isOver = false;

  constructor(
    private readonly channel: Channel,
    private readonly begin: (cursor: string, signal: AbortSignal) => AsyncGenerator<Update<State>, void, undefined>,
    private readonly isLast: (event: EventMessage) => boolean,
    { cursor = "", retryFor = Infinity }: WatchOptions,
  ) {
    this.cursor = cursor;
    this.window = retryFor;
    this.patience = this.freshPatience();
    this.events = this.follow();
  }

  /**
   * The next event.
   *
   * @throws {NotFoundError} What is to be watched is not there.
   * @throws {OutOfRangeError} Events behind the cursor are not kept any more: read again, and watch without one.
   * @throws {UnavailableError} No server was found, or none any more within `retryFor`.
   */
  next(): Promise<IteratorResult<WatchEvent<State>, undefined>> {
    return this.events.next();
  }

  /** End the watch, as leaving its loop does. */
  async return(): Promise<IteratorResult<WatchEvent<State>, undefined>> {
    this.close();
    return this.events.return(undefined);
  }

  /** End the watch; whoever waits for its next event gets none. */
  close(): void {
    this.closing.abort();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private async *follow(): AsyncGenerator<WatchEvent<State>, undefined, undefined> {
    const { signal } = this.closing;
    while (!this.hasEnded()) {
      let failure: HoldfastError = new UnavailableError("The server ended the watch early.");
      try {
        yield* this.readOn();
      } catch (error) {
        if (this.isClosed()) return undefined;
        failure = this.interruption(error);
      }
      if (this.hasEnded()) return undefined;
      if (!(await this.patience.pause(retryAfter(failure), signal)) && !this.isClosed()) throw failure;
    }
    return undefined;
  }

  /** What one call brings. */
  private async *readOn(): AsyncGenerator<WatchEvent<State>, void, undefined> {
    const { signal } = this.closing;
    const { updates, first } = await this.channel.run(
      async () => {
        const updates = this.begin(this.cursor, signal);
        return { updates, first: await updates.next() };
      },
      { signal },
    );
    try {
      // A watch that has an end, and whose cursor stands behind it, is answered with nothing.
      this.isOver = first.done === true && this.cursor !== "";
      for (let update = first; !update.done; update = await updates.next()) {
        const { cursor, event, state } = update.value;
        this.patience = this.freshPatience();
        if (event !== undefined) {
          this.isOver = this.isLast(event);
          this.cursor = cursor;
          yield changeFromMessage(event, cursor);
        } else if (state !== undefined) {
          const found = await state();
          this.cursor = cursor;
          yield { type: "STATE", cursor, state: found };
        } else {
          this.cursor = cursor;
        }
        if (this.isClosed()) return;
      }
    } finally {
      await updates.return();
    }
  }

  /** Our error for one after which the watch can go on; raises any other. */
  private interruption(error: unknown): HoldfastError {
    const failure = isServiceError(error) ? translate(error, this.channel.target) : error;
    if (!(failure instanceof HoldfastError) || !isInterruption(failure)) throw failure;
    // Nobody was ever there: the address is more likely wrong than the server away.
    if (this.cursor === "" && !isServiceError(error)) throw failure;
    return failure;
  }

  private hasEnded(): boolean {
    return this.isOver || this.isClosed();
  }

  private isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  private freshPatience(): Patience {
    return new Patience(this.channel.retry, this.window);
  }
}

/** Watch a registered model with its versions and aliases, also under another name, until it is deleted. */
export function watchModel(
  channel: Channel,
  name: string,
  options: WatchOptions & { alias?: string },
): Watch<RegisteredModel> {
  const method = ModelRegistryService.method.watchRegisteredModel;
  return new Watch<RegisteredModel>(
    channel,
    async function* (cursor, signal) {
      const request = { name, cursor, alias: options.alias ?? "" };
      for await (const message of channel.read(method, request, signal)) yield modelUpdate(message);
    },
    (event) => event.subject === EventSubject.REGISTERED_MODEL && event.type === EventType.DELETED,
    options,
  );
}

/** Watch a run: its status, params, tags, metrics, links, artifacts and liveness. It ends when the run is purged. */
export function watchRun(channel: Channel, runId: string, options: WatchOptions): Watch<RunState> {
  return new Watch<RunState>(
    channel,
    async function* (cursor, signal) {
      const request = { runId, cursor };
      for await (const message of channel.read(RunService.method.watchRun, request, signal)) {
        yield runUpdate(channel, message);
      }
    },
    (event) => event.runId === runId && event.subject === EventSubject.RUN && event.type === EventType.PURGED,
    options,
  );
}

function modelUpdate({ cursor, part }: WatchRegisteredModelResponse): Update<RegisteredModel> {
  if (part.case === "event") return { cursor, event: part.value };
  if (part.case !== "registeredModel") return { cursor };
  return { cursor, state: () => registeredModelFromMessage(part.value) };
}

function runUpdate(channel: Channel, { cursor, part }: WatchRunResponse): Update<RunState> {
  if (part.case === "event") return { cursor, event: part.value };
  if (part.case !== "run") return { cursor };
  const { value } = part;
  // A run that is too large for one message is read whole; it may then show what later events tell again.
  return { cursor, state: () => (value.truncated ? getRun(channel, value.runId) : runFromMessage(value)) };
}
