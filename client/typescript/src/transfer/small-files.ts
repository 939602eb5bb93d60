/** Writes small files while more of them arrive. */

import { sha256 } from "../format/digests.js";
import type { Entry } from "../gen/holdfast/v1/artifact_pb.js";
import { damaged, equal } from "./receiving.js";
import { writeSmall } from "./writing.js";

/** Files that are being verified and written at once; it bounds the memory that a slow disk costs. */
const WRITING = 16;

/** Verifies and writes what it is given. Each file appears under its name when it is whole. */
export class SmallFileWriter {
  private readonly writing = new Set<Promise<void>>();
  private failure: unknown;

  /**
   * Take a file that came whole; waits while too many are on their way.
   *
   * @throws {DataLossError} One of those before does not have its digest; it is not written.
   * @throws {LocalFileError} One of those before cannot be written.
   */
  async add(target: string, entry: Entry, data: Uint8Array): Promise<void> {
    this.refuseAfterFailure();
    const writing = this.write(target, entry, data)
      .catch((error: unknown) => {
        this.failure ??= error;
      })
      .finally(() => this.writing.delete(writing));
    this.writing.add(writing);
    if (this.writing.size >= WRITING) await Promise.race(this.writing);
  }

  /** Wait until all are written; raises as `add` does. */
  async finish(): Promise<void> {
    await this.settle();
    this.refuseAfterFailure();
  }

  /** Wait until nothing is being written any more, whatever came of it. */
  async settle(): Promise<void> {
    await Promise.all(this.writing);
  }

  private async write(target: string, entry: Entry, data: Uint8Array): Promise<void> {
    if (!equal(await sha256(data), entry.digest)) throw damaged(entry.path);
    await writeSmall(target, data, entry.executable);
  }

  private refuseAfterFailure(): void {
    if (this.failure !== undefined) throw this.failure as Error;
  }
}
