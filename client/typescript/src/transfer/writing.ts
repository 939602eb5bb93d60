/** Writes files under temporary names, which become the final ones when all is there. */

import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, rename, unlink, writeFile, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";

import { LocalFileError } from "../errors.js";
import { brokenPathRule } from "../format/paths.js";

const NEW_FILE = 0o666;
const NEW_EXECUTABLE = 0o777;

/** A file that is being written beside its target. */
export class TemporaryFile {
  private constructor(
    private readonly target: string,
    private readonly file: FileHandle,
  ) {}

  /**
   * Write the file `target` by `write`, and give it that name when `write` succeeded; otherwise leave nothing behind.
   *
   * @throws {LocalFileError} It cannot be written.
   */
  static async write<T>(target: string, executable: boolean, write: (file: TemporaryFile) => Promise<T>): Promise<T> {
    const temporary = temporaryName(target);
    const handle = await saying(target, open(temporary, "wx", executable ? NEW_EXECUTABLE : NEW_FILE));
    const file = new TemporaryFile(target, handle);
    try {
      const result = await write(file);
      await handle.close();
      await saying(target, rename(temporary, target));
      return result;
    } catch (error) {
      await handle.close().catch(() => undefined);
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }

  /** Write all of `data` at an offset. */
  async writeAt(data: Buffer, offset: number): Promise<void> {
    let done = 0;
    while (done < data.length) {
      const { bytesWritten } = await saying(
        this.target,
        this.file.write(data, done, data.length - done, offset + done),
      );
      done += bytesWritten;
    }
  }
}

/** Write a whole small file. */
export async function writeSmall(target: string, data: Uint8Array, executable: boolean): Promise<void> {
  const temporary = temporaryName(target);
  try {
    await writeFile(temporary, data, { flag: "wx", mode: executable ? NEW_EXECUTABLE : NEW_FILE });
    await rename(temporary, target);
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw await cannotWrite(target, cause);
  }
}

/**
 * Make a directory and those above it, up to one of `made`, to which they are added.
 *
 * @throws {LocalFileError} One of them is a symbolic link, which could lead anywhere, or cannot be made.
 */
export async function makeDirectory(path: string, made: Set<string>): Promise<void> {
  if (made.has(path)) return;
  await makeDirectory(dirname(path), made);
  try {
    await mkdir(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw await cannotWrite(path, cause);
    const status = await lstat(path);
    if (status.isSymbolicLink()) {
      throw new LocalFileError(
        `${path} is a symbolic link, and downloads do not follow it. Remove it, or download elsewhere.`,
      );
    }
    if (!status.isDirectory()) throw await cannotWrite(path, cause);
  }
  made.add(path);
}

/** Make the directory that a download goes to, with those above it. */
export async function makeDestination(path: string): Promise<void> {
  await saying(path, mkdir(path, { recursive: true }));
}

/**
 * Return an artifact path that a server sent, if it stays below where it is written.
 *
 * Servers refuse other paths; a client that believes them would be at the mercy of whoever it connects to.
 *
 * @throws {LocalFileError} It breaks a rule of artifact paths.
 */
export function checkReceivedPath(path: string): string {
  const rule = brokenPathRule(path);
  if (rule) {
    const shown = JSON.stringify(path.slice(0, 200));
    throw new LocalFileError(`The server sent the path ${shown}, and nothing is written there: ${rule}.`);
  }
  return path;
}

function temporaryName(target: string): string {
  return join(dirname(target), `.holdfast-${randomBytes(12).toString("hex")}.tmp`);
}

/** Say what cannot be written, and where, in place of the system's bare error. */
async function saying<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw await cannotWrite(path, cause);
  }
}

async function cannotWrite(path: string, cause: unknown): Promise<LocalFileError> {
  const isDirectory = await lstat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
  const text = isDirectory
    ? `${path} is a directory here and a file in the artifacts.`
    : `${path} cannot be written: ${(cause as Error).message}.`;
  return new LocalFileError(`${text} Download to another directory.`, { cause });
}
