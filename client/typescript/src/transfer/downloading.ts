/** Downloads files and trees: verified, in bounded memory, and under their final names only when whole. */

import { dirname, resolve } from "node:path";

import type { Channel } from "../channel.js";
import { EntryKind, type ArtifactLocation, type Entry } from "../gen/holdfast/v1/artifact_pb.js";
import { toNumber } from "../numbers.js";
import { BlockBuffers } from "./buffers.js";
import { checkPlatform, FoldedPaths, isFolding } from "./names.js";
import { checkWhole, FileReading, inOrder, readFiles } from "./receiving.js";
import { SmallFileWriter } from "./small-files.js";
import { below, resolveNewest } from "./trees.js";
import { checkReceivedPath, makeDestination, makeDirectory, TemporaryFile } from "./writing.js";

/** Larger files are read one by one, in parallel, after the small ones came in one stream. */
const MAX_BATCHED = 1 << 20;
/** Large files at once. A second one keeps the network busy while the first is opened, or waits for the server's store. */
const PARALLEL = 2;

/**
 * Write what `uri` names to `target`: a file there, or a directory's contents below it.
 *
 * Files that are there are replaced, others stay. Each file appears under its name only when it is whole and has its digest.
 *
 * @throws {DataLossError} Bytes do not have their digest; the file is not written.
 * @throws {FailedPreconditionError} SNAPSHOT_EXPIRED, the directory was replaced and collected meanwhile.
 * @throws {LocalFileError} A name cannot be written here.
 */
export async function download(channel: Channel, uri: string, target: string): Promise<void> {
  let transfer = new Download(channel, resolve(target));
  const fetch = (locations: ArtifactLocation[]): Promise<void> => transfer.fetch(locations);
  const mayBeginAgain = (): boolean => {
    if (transfer.hasBegun) return false;
    transfer = new Download(channel, resolve(target));
    return true;
  };
  await resolveNewest(channel, uri, fetch, mayBeginAgain);
}

class Download {
  /** Something of a directory was written, which must not be mixed with that of another snapshot. */
  hasBegun = false;
  private readonly buffers = new BlockBuffers();

  constructor(
    private readonly channel: Channel,
    private readonly target: string,
  ) {}

  async fetch(locations: readonly ArtifactLocation[]): Promise<void> {
    const [only] = locations;
    if (only !== undefined && locations.length === 1 && only.kind === EntryKind.FILE) {
      const folder = dirname(this.target);
      await makeDestination(folder);
      await this.fetchLocation(only, () => this.target, new Set([folder]));
      return;
    }
    await makeDestination(this.target);
    if (await isFolding(this.target)) await this.checkNames(locations);
    const made = new Set([this.target]);
    for (const location of locations) {
      const base = location.prefix ? `${this.target}/${checkReceivedPath(location.prefix)}` : this.target;
      await makeDirectory(base, made);
      const place = (entry: Entry): string => {
        const path = checkReceivedPath(below(entry.path, location));
        checkPlatform(path);
        return `${base}/${path}`;
      };
      await this.fetchLocation(location, place, made);
    }
  }

  /** Refuse trees with names that would be one file, before anything of them is written. */
  private async checkNames(locations: readonly ArtifactLocation[]): Promise<void> {
    const paths = new FoldedPaths();
    for (const location of locations) {
      await readFiles(this.channel, location, 0, (entry) => {
        paths.add(`${location.prefix}/${below(entry.path, location)}`);
        return Promise.resolve();
      });
    }
  }

  /** Write each entry of a location at its `place`. */
  private async fetchLocation(
    location: ArtifactLocation,
    place: (entry: Entry) => string,
    made: Set<string>,
  ): Promise<void> {
    const large: { entry: Entry; target: string }[] = [];
    const writer = new SmallFileWriter();
    try {
      await readFiles(this.channel, location, MAX_BATCHED, async (entry, data) => {
        this.hasBegun ||= location.kind === EntryKind.DIRECTORY;
        const target = place(entry);
        if (entry.kind === EntryKind.DIRECTORY) {
          await makeDirectory(target, made);
          return;
        }
        await makeDirectory(dirname(target), made);
        if (entry.size > MAX_BATCHED) large.push({ entry, target });
        else await writer.add(target, entry, data);
      });
      await writer.finish();
    } finally {
      await writer.settle();
    }
    await this.fetchLarge(location, large);
  }

  private async fetchLarge(location: ArtifactLocation, files: { entry: Entry; target: string }[]): Promise<void> {
    const failed = new AbortController();
    const work = async (): Promise<void> => {
      for (let file = files.shift(); file !== undefined; file = files.shift()) {
        await this.fetchFile({ ...location, path: file.entry.path }, file.entry, file.target, failed.signal);
      }
    };
    const workers = Array.from({ length: Math.min(PARALLEL, files.length) }, () =>
      work().catch((error: unknown) => {
        // The others need not be fetched; the first error says what went wrong.
        failed.abort(error);
      }),
    );
    await Promise.all(workers);
    failed.signal.throwIfAborted();
  }

  private async fetchFile(
    location: ArtifactLocation,
    entry: Entry,
    target: string,
    signal: AbortSignal,
  ): Promise<void> {
    const size = toNumber(entry.size, `The size of ${entry.path}`);
    await TemporaryFile.write(target, entry.executable, async (file) => {
      const write = (block: Buffer, offset: number): Promise<void> => file.writeAt(block, offset);
      const reading = new FileReading(this.channel, location, this.buffers, write, { signal });
      await reading.run();
      checkWhole(entry.path, size, entry.digest, inOrder(reading.digests));
    });
  }
}
