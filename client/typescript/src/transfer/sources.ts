/** What is to be logged: local files found and checked before anything is sent. */

import type { BigIntStats } from "node:fs";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename, join, resolve, sep } from "node:path";

import { InvalidArgumentError, LocalFileError } from "../errors.js";
import { brokenPathRule, joinPath } from "../format/paths.js";
import { stampOf } from "./stamps.js";

/** Whether a symbolic link may lead out of the directory that is logged. */
export type Symlinks = "inside" | "follow";

/** A file or directory to put at `path` of a tree. */
export interface Source {
  readonly path: string;
  readonly isDirectory: boolean;
  /** Path of the local file; empty for directories and for data in memory. */
  readonly local: string;
  /** The content, when it is in memory. */
  readonly data?: Uint8Array;
  /** Bytes. */
  readonly size: number;
  /** Whether its owner may execute it. */
  readonly executable: boolean;
  /** Identity, size and time of change when it was found; another one later means that it changed. */
  readonly stamp: string;
}

/**
 * Return `path` if the format allows it.
 *
 * @throws {InvalidArgumentError} It breaks a rule, which the message states.
 */
export function checkArtifactPath(path: string): string {
  const rule = brokenPathRule(path);
  if (rule) {
    const shown = JSON.stringify(path.slice(0, 200));
    throw new InvalidArgumentError(`The artifact path ${shown} is refused: ${rule}.`, { reason: "INVALID_PATH" });
  }
  return path;
}

/**
 * A file at `<artifactPath>/<basename>`, or a directory with its tree below `<artifactPath>/<dirname>`.
 *
 * @throws {LocalFileError} It is missing; a socket, device or fifo; a link that leaves the directory; a name that is not UTF-8.
 * @throws {InvalidArgumentError} An artifact path breaks a rule.
 */
export async function findPath(localPath: string, artifactPath: string, symlinks: Symlinks): Promise<Source[]> {
  const status = await existing(localPath);
  const path = checkArtifactPath(joinPath(artifactPath, basename(resolve(localPath))));
  if (status.isDirectory()) return walk(localPath, path, symlinks);
  return [fileSource(localPath, status, path)];
}

/** The contents of a directory below `artifactPath`; raises as `findPath`, and when it is a file. */
export async function findContents(localDir: string, artifactPath: string, symlinks: Symlinks): Promise<Source[]> {
  const status = await existing(localDir);
  if (!status.isDirectory()) {
    throw new LocalFileError(`${localDir} is a file, not a directory. Use logArtifact to log a single file.`);
  }
  return walk(localDir, artifactPath && checkArtifactPath(artifactPath), symlinks);
}

/** One local file, wherever it is to stand; raises as `findPath`, and when it is a directory. */
export async function findFile(localPath: string): Promise<Source> {
  return fileSource(localPath, await existing(localPath), "");
}

/** Content in memory, to stand at `path`. */
export function dataSource(path: string, data: Uint8Array): Source {
  const checked = checkArtifactPath(path);
  return { path: checked, isDirectory: false, local: "", data, size: data.length, executable: false, stamp: "" };
}

function directorySource(path: string): Source {
  return { path, isDirectory: true, local: "", size: 0, executable: false, stamp: "" };
}

function fileSource(local: string, status: BigIntStats, path: string): Source {
  if (!status.isFile()) {
    throw new LocalFileError(`${local} is a ${kindOf(status)}, not a file.`);
  }
  return {
    path,
    isDirectory: false,
    local,
    size: safeSize(local, status.size),
    executable: (status.mode & 0o100n) !== 0n,
    stamp: stampOf(status),
  };
}

async function existing(path: string): Promise<BigIntStats> {
  try {
    return await stat(path, { bigint: true });
  } catch (cause) {
    const isLink = await lstat(path).then(
      (status) => status.isSymbolicLink(),
      () => false,
    );
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") {
      throw new LocalFileError(`${path} cannot be read: ${(cause as Error).message}.`, { cause });
    }
    const kind = isLink ? "A broken symbolic link" : "No file or directory";
    throw new LocalFileError(`${kind}: ${path}`, { cause, missing: true });
  }
}

async function walk(root: string, base: string, symlinks: Symlinks): Promise<Source[]> {
  const realRoot = await realpath(root);
  const found: Source[] = base ? [directorySource(base)] : [];
  const stack = [{ folder: root, path: base, above: [realRoot] }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { folder, path, above } = next;
    for (const name of await sortedNames(folder)) {
      const local = join(folder, name);
      const inner = checkArtifactPath(joinPath(path, name));
      let status = await lstat(local, { bigint: true });
      if (status.isSymbolicLink()) {
        await checkLink(local, realRoot, symlinks);
        status = await stat(local, { bigint: true });
      }
      if (!status.isDirectory()) {
        found.push(fileSource(local, status, inner));
        continue;
      }
      const real = await realpath(local);
      if (above.includes(real)) {
        throw new LocalFileError(`The symbolic link ${local} leads back to a directory above it.`);
      }
      found.push(directorySource(inner));
      stack.push({ folder: local, path: inner, above: [...above, real] });
    }
  }
  return found;
}

async function sortedNames(folder: string): Promise<string[]> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let raw: Buffer[];
  try {
    raw = await readdir(folder, { encoding: "buffer" });
  } catch (cause) {
    throw new LocalFileError(`${folder} cannot be read: ${(cause as Error).message}.`, { cause });
  }
  return raw
    .sort((a, b) => Buffer.compare(a, b))
    .map((name) => {
      try {
        return decoder.decode(name);
      } catch (cause) {
        const shown = join(folder, name.toString("latin1"));
        throw new LocalFileError(`The name of ${JSON.stringify(shown)} is not valid UTF-8. Rename it before logging.`, {
          cause,
        });
      }
    });
}

async function checkLink(link: string, realRoot: string, symlinks: Symlinks): Promise<void> {
  let target: string;
  try {
    target = await realpath(link);
  } catch (cause) {
    throw new LocalFileError(`The symbolic link ${link} is broken. Remove it, or log the files beside it one by one.`, {
      cause,
    });
  }
  const root = realRoot.endsWith(sep) ? realRoot : realRoot + sep;
  if (target !== realRoot && !target.startsWith(root) && symlinks !== "follow") {
    throw new LocalFileError(
      `The symbolic link ${link} leaves the directory that is logged. Pass symlinks: "follow" to log its target.`,
    );
  }
}

function kindOf(status: BigIntStats): string {
  if (status.isDirectory()) return "directory";
  if (status.isSocket()) return "socket";
  if (status.isFIFO()) return "fifo";
  if (status.isCharacterDevice() || status.isBlockDevice()) return "device";
  return "special file";
}

function safeSize(local: string, size: bigint): number {
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new LocalFileError(`${local} has ${size} bytes, more than this client can count exactly.`);
  }
  return Number(size);
}
