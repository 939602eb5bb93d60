/** What a URI names, and what is in it. */

import type { Channel } from "../channel.js";
import { FailedPreconditionError, NotFoundError } from "../errors.js";
import { EntryKind, type ArtifactLocation, type Entry } from "../gen/holdfast/v1/artifact_pb.js";
import { ArtifactService } from "../gen/holdfast/v1/artifact_service_pb.js";

/** How often a URI is resolved when what it named was replaced, and collected, before it was read. */
const RESOLVED = 3;
const PAGE_SIZE = 10_000;

/**
 * What `read` makes of what `uri` names.
 *
 * A snapshot that was replaced and collected between the two is no failure of a caller who asked for what is there: it is
 * resolved again, and read from the beginning, if `mayBeginAgain` says so.
 */
export async function resolveNewest<T>(
  channel: Channel,
  uri: string,
  read: (locations: ArtifactLocation[]) => Promise<T>,
  mayBeginAgain: () => boolean = () => true,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    const { locations } = await channel.call(ArtifactService.method.resolveArtifact, { uri });
    try {
      return await read(locations);
    } catch (error) {
      const isExpired = error instanceof FailedPreconditionError && error.reason === "SNAPSHOT_EXPIRED";
      if (!isExpired || attempt === RESOLVED || !mayBeginAgain()) throw error;
    }
  }
}

/**
 * What `read` makes of the one file that `uri` names.
 *
 * @throws {NotFoundError} It names a directory.
 */
export function resolveFile<T>(
  channel: Channel,
  uri: string,
  read: (location: ArtifactLocation) => Promise<T>,
): Promise<T> {
  return resolveNewest(channel, uri, (locations) => {
    const [only] = locations;
    if (only === undefined || locations.length !== 1 || only.kind !== EntryKind.FILE) {
      throw new NotFoundError(`${uri} is a directory, not a file.`, { reason: "FILE_NOT_FOUND" });
    }
    return read(only);
  });
}

/** Entries of one level, or all, of what `uri` names, by their paths below the run or model that it begins with. */
export function listEntries(channel: Channel, uri: string, recursive: boolean): Promise<Map<string, Entry>> {
  const inner = pathOf(uri);
  return resolveNewest(channel, uri, async (locations) => {
    const found = new Map<string, Entry>();
    for (const location of locations) {
      if (location.prefix) {
        // A logged model stands in the view of its run as a directory.
        const path = joined(inner, location.prefix);
        found.set(path, { ...emptyDirectory(), path });
        if (!recursive) continue;
      }
      for await (const entry of listLocation(channel, location, recursive)) {
        found.set(joined(inner, location.prefix, below(entry.path, location)), entry);
      }
    }
    return found;
  });
}

/** The path relative to what the location names; empty for the file that it names. */
export function below(path: string, location: ArtifactLocation): string {
  return location.path ? path.slice(location.path.length + 1) : path;
}

/** The path of a URI below the run or model that it begins with: `runs:/x/a/b` gives `a/b`. */
export function pathOf(uri: string): string {
  const separator = uri.indexOf(":/");
  const scheme = uri.slice(0, separator);
  const parts = uri
    .slice(separator + 2)
    .replace(/^\/+|\/+$/g, "")
    .split("/");
  const [first = ""] = parts;
  const isOnePart = scheme === "runs" || first.includes("@") || /^m-[0-9a-f]{32}$/.test(first);
  return parts.slice(isOnePart ? 1 : 2).join("/");
}

async function* listLocation(
  channel: Channel,
  location: ArtifactLocation,
  recursive: boolean,
): AsyncGenerator<Entry, void, undefined> {
  const { owner, sequence, path } = location;
  let pageToken = "";
  do {
    const page = await channel.call(ArtifactService.method.listFiles, {
      ...(owner === undefined ? {} : { owner }),
      sequence,
      path,
      recursive,
      pageSize: PAGE_SIZE,
      pageToken,
    });
    yield* page.entries;
    pageToken = page.nextPageToken;
  } while (pageToken);
}

function joined(...parts: string[]): string {
  return parts.filter((part) => part !== "").join("/");
}

function emptyDirectory(): Entry {
  return {
    $typeName: "holdfast.v1.Entry",
    path: "",
    kind: EntryKind.DIRECTORY,
    executable: false,
    size: 0n,
    digest: new Uint8Array(),
    sequence: 0n,
  };
}
