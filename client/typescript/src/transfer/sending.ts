/** Sends blocks and follows what the server answers, over as many streams as it takes. */

import type { Channel } from "../channel.js";
import { DataLossError, UnavailableError } from "../errors.js";
import { BlockStatus, type BlockResult } from "../gen/holdfast/v1/artifact_service_pb.js";
import { Patience } from "../patience.js";
import { isInterruption, isServiceError, retryAfter, translate } from "../rpc-errors.js";
import { findMissing, nameOf } from "./asking.js";
import type { HashedBlock } from "./hashing.js";
import { WriteStream } from "./write-stream.js";

/** Bytes that may be sent and not yet answered; they are kept to be sent again when the connection breaks. */
const MAX_UNANSWERED = 32 << 20;
/** Times that a block is sent before a mismatch is an error. */
const ATTEMPTS = 4;

/**
 * Sends blocks and returns from `finish` when each is durable on the server.
 *
 * Blocks that were not answered when the connection broke are sent again on a new one, after asking which are missing.
 */
export class BlockSender {
  private readonly unanswered = new Map<string, HashedBlock>();
  private readonly attempts = new Map<string, number>();
  private size = 0;
  private patience: Patience;
  private stream: WriteStream | undefined;

  constructor(private readonly channel: Channel) {
    this.patience = this.freshPatience();
  }

  /**
   * Send blocks; waits while too much is unanswered. They are released when they are answered.
   *
   * @throws {HoldfastError} A block was refused, or the server stayed away.
   */
  async send(blocks: readonly HashedBlock[]): Promise<void> {
    const fresh: HashedBlock[] = [];
    for (const block of blocks) {
      if (this.unanswered.has(block.name)) {
        block.release();
        continue;
      }
      this.unanswered.set(block.name, block);
      this.size += block.data.length;
      fresh.push(block);
    }
    if (fresh.length > 0) this.transmit(fresh);
    while (this.size > MAX_UNANSWERED) await this.settle();
  }

  /** Wait until all blocks are answered and end the stream. */
  async finish(): Promise<void> {
    while (this.unanswered.size > 0) await this.settle();
    this.stream?.finish();
    this.stream = undefined;
  }

  /** End the stream at once, if it is not finished; blocks that are not answered may have to be sent again. */
  close(): void {
    this.stream?.close();
    this.stream = undefined;
  }

  private transmit(blocks: HashedBlock[]): void {
    this.stream ??= new WriteStream(this.channel);
    this.stream.put(blocks);
  }

  /** Take some answers of the stream; when there is no stream any more, begin another. */
  private async settle(): Promise<void> {
    if (this.stream === undefined) return this.resume();
    let results: BlockResult[];
    try {
      results = await this.stream.nextResults();
    } catch (error) {
      this.close();
      if (!isServiceError(error)) throw error;
      const failure = translate(error, this.channel.target);
      if (!isInterruption(failure) || !(await this.patience.pause(retryAfter(failure)))) throw failure;
      return this.resume();
    }
    const again: HashedBlock[] = [];
    for (const result of results) {
      const block = await this.take(result);
      if (block !== undefined) again.push(block);
    }
    if (again.length > 0) this.transmit(again);
  }

  /** Note an answer; returns the block if it is to be sent again. */
  private async take(result: BlockResult): Promise<HashedBlock | undefined> {
    const name = nameOf(result.digest);
    const block = this.unanswered.get(name);
    if (block === undefined) return undefined;
    if (result.status === BlockStatus.STORED) {
      this.done(block);
      return undefined;
    }
    if (result.status === BlockStatus.UNAVAILABLE) {
      // A store that is full or away: the same patience as with a server that is away.
      if (await this.patience.pause()) return block;
      throw new UnavailableError(result.message, { reason: "UNAVAILABLE" });
    }
    const attempts = (this.attempts.get(name) ?? 0) + 1;
    this.attempts.set(name, attempts);
    if (result.status !== BlockStatus.DIGEST_MISMATCH || attempts >= ATTEMPTS) {
      const what = result.message || BlockStatus[result.status];
      throw new DataLossError(`Block ${name} was refused ${attempts} times on its way: ${what}`);
    }
    return block;
  }

  /** Ask which of the unanswered blocks are missing, and send those on a new stream. */
  private async resume(): Promise<void> {
    const blocks = [...this.unanswered.values()];
    const missing = await findMissing(
      this.channel,
      blocks.map((block) => block.digest),
    );
    for (const block of blocks) {
      if (!missing.has(block.name)) this.done(block);
    }
    if (this.unanswered.size > 0) this.transmit([...this.unanswered.values()]);
  }

  private done(block: HashedBlock): void {
    this.unanswered.delete(block.name);
    this.size -= block.data.length;
    this.patience = this.freshPatience();
    block.release();
  }

  private freshPatience(): Patience {
    return new Patience(this.channel.retry, this.channel.retry.window);
  }
}
