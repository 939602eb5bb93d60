/** One WriteBlocks call: what is under way stays within the window that the server allows. */

import { create, toBinary } from "@bufbuild/protobuf";

import { endedEarly, ignore, type Channel } from "../channel.js";
import { encodeChunk, MAX_HEAD } from "../format/chunks.js";
import {
  ArtifactService,
  WriteBlocksRequestSchema,
  type BlockResult,
  type WriteBlocksResponse,
} from "../gen/holdfast/v1/artifact_service_pb.js";
import type { HashedBlock } from "./hashing.js";
import { Signal } from "./signal.js";

const CHUNK = 1 << 20;
/** Blocks up to this size share messages. */
const SMALL = 64 << 10;
/** Bytes that may be under way before the server has said how many. */
const INITIAL_WINDOW = 1 << 20;
/** Messages that gRPC has and has not written; the end of a call, which may leave some unwritten, ends the waiting, too. */
const WRITE_AHEAD = 2;
/** What a small block takes in a message besides its data, at most. */
const BLOCK_OVERHEAD = 48;

/** Sends blocks and hands on what the server answers of them. */
export class WriteStream {
  private readonly call;
  private readonly encoding = new BlockEncoding();
  private readonly queue: HashedBlock[][] = [];
  private readonly results: BlockResult[] = [];
  private readonly queued = new Signal();
  private readonly answered = new Signal();
  private sent = 0;
  private unwritten = 0;
  private taken = 0;
  private window = INITIAL_WINDOW;
  private failure: Error | undefined;
  private finished = false;
  private closed = false;

  constructor(private readonly channel: Channel) {
    this.call = channel.exchange(ArtifactService.method.writeBlocks);
    this.call.on("data", (response: WriteBlocksResponse) => this.take(response));
    this.call.on("error", (error: Error) => this.fail(error));
    this.call.on("end", () => this.fail(endedEarly()));
    this.pump().catch((error: unknown) => this.fail(error as Error));
  }

  /** Send blocks, after those that were put before; returns at once. */
  put(blocks: HashedBlock[]): void {
    if (blocks.length > 0) this.queue.push(blocks);
    this.queued.raise();
  }

  /**
   * What became of some blocks.
   *
   * @throws {ServiceError} The stream ended, by gRPC's own error.
   */
  async nextResults(): Promise<BlockResult[]> {
    while (this.results.length === 0) {
      if (this.failure !== undefined) throw this.failure;
      await this.answered.wait();
    }
    return this.results.splice(0);
  }

  /** Half-close, after all blocks were answered. */
  finish(): void {
    this.finished = true;
    this.queued.raise();
  }

  /** End the stream at once; blocks that are not answered may have to be sent again. */
  close(): void {
    this.closed = true;
    this.call.cancel();
    this.queued.raise();
  }

  private async pump(): Promise<void> {
    for (;;) {
      const blocks = this.queue.shift();
      if (blocks !== undefined) {
        // One is encoded ahead of the room for it, so that encoded copies do not pile up.
        for (const { message, sent } of this.encoding.messages(blocks)) {
          if (!(await this.waitForRoom(message.length))) return;
          this.sent += message.length;
          this.unwritten += 1;
          this.call.write(message, () => {
            this.unwritten -= 1;
            sent();
            this.queued.raise();
          });
        }
      } else if (this.closed || this.failure !== undefined) {
        return;
      } else if (this.finished) {
        this.call.end();
        return;
      } else {
        await this.queued.wait();
      }
    }
  }

  /** Wait until `size` more bytes may be under way; false when the stream is over. */
  private async waitForRoom(size: number): Promise<boolean> {
    for (;;) {
      if (this.closed || this.failure !== undefined) return false;
      const underWay = this.sent - this.taken;
      const hasRoom = underWay === 0 || underWay + size <= this.window;
      if (hasRoom && this.unwritten < WRITE_AHEAD) return true;
      await this.queued.wait();
    }
  }

  private take(response: WriteBlocksResponse): void {
    this.channel.noteAnswer();
    this.taken = Number(response.takenBytes);
    this.window = Number(response.windowBytes);
    this.results.push(...response.results);
    this.queued.raise();
    if (response.results.length > 0) this.answered.raise();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.queued.raise();
    this.answered.raise();
  }
}

/** An encoded message. */
interface Encoded {
  readonly message: Buffer;
  /** Says that it is on its way, and its memory free. */
  readonly sent: () => void;
}

/** Makes messages of blocks: small ones together, large ones in chunks, whose memory is used again. */
class BlockEncoding {
  private readonly free: Buffer[] = [];

  *messages(blocks: readonly HashedBlock[]): Generator<Encoded, void, undefined> {
    let small: HashedBlock[] = [];
    let size = 0;
    for (const block of blocks) {
      if (block.data.length > SMALL) {
        yield* this.chunks(block);
        continue;
      }
      if (size + block.data.length + BLOCK_OVERHEAD > CHUNK) {
        yield { message: encodeSmall(small), sent: ignore };
        small = [];
        size = 0;
      }
      small.push(block);
      size += block.data.length + BLOCK_OVERHEAD;
    }
    if (small.length > 0) yield { message: encodeSmall(small), sent: ignore };
  }

  private *chunks({ data, digest }: HashedBlock): Generator<Encoded, void, undefined> {
    for (let start = 0; start < data.length; start += CHUNK) {
      // Fresh memory for each would keep the garbage collector busier than all else.
      const buffer = this.free.pop() ?? Buffer.allocUnsafeSlow(CHUNK + MAX_HEAD);
      const first = start === 0 ? { digest, size: data.length } : undefined;
      yield {
        message: encodeChunk(buffer, data.subarray(start, start + CHUNK), first),
        sent: () => this.free.push(buffer),
      };
    }
  }
}

function encodeSmall(blocks: readonly HashedBlock[]): Buffer {
  const message = create(WriteBlocksRequestSchema, {
    blocks: blocks.map(({ digest, data }) => ({ digest, data })),
  });
  const raw = toBinary(WriteBlocksRequestSchema, message);
  return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
}
