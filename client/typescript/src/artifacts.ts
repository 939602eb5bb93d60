/** The artifact calls that the rest of the client uses. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { Channel } from "./channel.js";
import { LocalFileError } from "./errors.js";
import { lastName } from "./format/paths.js";
import { EntryKind, type Entry } from "./gen/holdfast/v1/artifact_pb.js";
import { toNumber } from "./numbers.js";
import type { Owner } from "./transfer/committing.js";
import { download } from "./transfer/downloading.js";
import { checkArtifactPath, dataSource, findContents, findPath, type Symlinks } from "./transfer/sources.js";
import { listEntries, pathOf } from "./transfer/trees.js";
import { upload } from "./transfer/uploading.js";

/** A file or directory among the artifacts. */
export interface Artifact {
  /** From the root of the run's or model's artifacts. */
  readonly path: string;
  readonly isDirectory: boolean;
  /** Whether its owner may execute the file. */
  readonly executable: boolean;
  /** Bytes; 0 for directories. */
  readonly size: number;
  /** As docs/protocol.md defines it, in hex; empty for directories. */
  readonly digest: string;
}

/** Where artifacts go. */
export interface LogOptions {
  /** The directory among the artifacts; default: their root. */
  artifactPath?: string | undefined;
  /** Whether symbolic links may lead out of a directory that is logged; default: they may not. */
  symlinks?: Symlinks;
}

/** Put a file at `<artifactPath>/<basename>`, or a directory with its tree below that; returns when all of it is durable. */
export async function logArtifact(
  channel: Channel,
  owner: Owner,
  localPath: string,
  { artifactPath, symlinks = "inside" }: LogOptions,
): Promise<void> {
  const folder = artifactPath ? checkArtifactPath(artifactPath) : "";
  await upload(channel, owner, await findPath(localPath, folder, symlinks));
}

/** Put the contents of a directory below `artifactPath`. */
export async function logArtifacts(
  channel: Channel,
  owner: Owner,
  localDir: string,
  { artifactPath = "", symlinks = "inside" }: LogOptions,
): Promise<void> {
  await upload(channel, owner, await findContents(localDir, artifactPath, symlinks));
}

/** Put a file with this content at `path`. */
export async function logBytes(channel: Channel, owner: Owner, data: Uint8Array, path: string): Promise<void> {
  await upload(channel, owner, [dataSource(path, data)]);
}

/** One level of a directory, or all below it, in order of the paths' UTF-8 bytes; a file gives itself. */
export async function listArtifacts(channel: Channel, uri: string, recursive: boolean): Promise<Artifact[]> {
  const found = await listEntries(channel, uri, recursive);
  const artifacts = Array.from(found, ([path, entry]) => artifactFromMessage(path, entry));
  return artifacts.sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
}

/**
 * Write what `uri` names below the directory `destination`, which is made when it is absent; returns where it is: there,
 * under the last name of the URI's path, or `destination` itself for all of a run or model.
 */
export async function downloadArtifacts(channel: Channel, uri: string, destination: string): Promise<string> {
  try {
    await mkdir(destination, { recursive: true });
  } catch (cause) {
    throw new LocalFileError(`${destination} cannot be made: ${(cause as Error).message}.`, { cause });
  }
  const target = join(destination, lastName(pathOf(uri)));
  await download(channel, uri, target);
  return target;
}

function artifactFromMessage(path: string, entry: Entry): Artifact {
  return {
    path,
    isDirectory: entry.kind === EntryKind.DIRECTORY,
    executable: entry.executable,
    size: toNumber(entry.size, `The size of ${path}`),
    digest: Buffer.from(entry.digest).toString("hex"),
  };
}
