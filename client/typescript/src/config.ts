/** Where the server is: one frozen value, parsed from what a user may say. */

import { isIPv4, isIPv6 } from "node:net";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

import { InvalidArgumentError } from "./errors.js";

export const URI_VARIABLE = "HOLDFAST_URI";
export const INSECURE_VARIABLE = "HOLDFAST_INSECURE";
export const TOKEN_VARIABLE = "HOLDFAST_TOKEN";
export const CA_FILE_VARIABLE = "HOLDFAST_TLS_CA_FILE";
export const CERT_FILE_VARIABLE = "HOLDFAST_TLS_CERT_FILE";
export const KEY_FILE_VARIABLE = "HOLDFAST_TLS_KEY_FILE";

const DEFAULT_PORT = 5600;
// sun_path holds 108 bytes with the closing NUL, on every system that Node runs on.
const MAX_SOCKET_PATH = 107;
const FORMS = "Use holdfast://host:port, holdfast+tls://host:port or unix:/path/to/socket.";
const TRUE = new Set(["1", "true", "yes", "on"]);
const FALSE = new Set(["", "0", "false", "no", "off"]);

/** What may be said in place of the variables of the environment. */
export interface ConnectOptions {
  /** Sent as a bearer token with each call; default: `HOLDFAST_TOKEN`. */
  token?: string | undefined;
  /** PEM file of the authorities to trust in place of the public ones; default: `HOLDFAST_TLS_CA_FILE`. */
  caFile?: string | undefined;
  /** PEM file of this client's own certificate, for mutual TLS; default: `HOLDFAST_TLS_CERT_FILE`. */
  certFile?: string | undefined;
  /** PEM file of that certificate's private key; default: `HOLDFAST_TLS_KEY_FILE`. */
  keyFile?: string | undefined;
  /** The network is trusted, so `holdfast://` may leave this machine; default: `HOLDFAST_INSECURE`. */
  insecure?: boolean | undefined;
}

/** A server. */
export interface Target {
  /** Normalized; parsing it gives this target again. Holds no secret. */
  readonly uri: string;
  /** What gRPC connects to. */
  readonly address: string;
  /** Whether the connection is encrypted and the server's certificate checked. */
  readonly tls: boolean;
  /** Whether the connection cannot leave this machine. */
  readonly loopback: boolean;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** Not enumerable, so that it is not shown where a target is printed; empty for none. */
  readonly token: string;
}

/**
 * The server that `uri` names; without it, `HOLDFAST_URI` does.
 *
 * @throws {InvalidArgumentError} It names none, or one that would be spoken to over the network in the clear.
 */
export function parseTarget(
  uri?: string,
  options: ConnectOptions = {},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Target {
  const settings = withEnvironment(options, environment);
  const text = uri || environment[URI_VARIABLE] || "";
  if (!text) {
    throw new InvalidArgumentError(`No server is named: pass its URI, or set ${URI_VARIABLE}. ${FORMS}`);
  }
  if (text.includes("\0")) throw new InvalidArgumentError(`The server's URI holds a NUL character. ${FORMS}`);
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(text)?.[1]?.toLowerCase();
  if (scheme === "holdfast" || scheme === "holdfast+tls") return network(text, scheme === "holdfast+tls", settings);
  if (scheme === "unix") return socket(text.slice("unix:".length), settings);
  throw new InvalidArgumentError(unsupported(text, scheme));
}

/**
 * Whether the text of a setting means yes; an empty one means no.
 *
 * @throws {InvalidArgumentError} It means neither.
 */
export function parseFlag(value: string, name: string): boolean {
  const folded = value.trim().toLowerCase();
  if (TRUE.has(folded)) return true;
  if (FALSE.has(folded)) return false;
  throw new InvalidArgumentError(`${name} is true or false, not ${JSON.stringify(value)}.`);
}

interface Settings {
  token: string;
  caFile: string;
  certFile: string;
  keyFile: string;
  insecure: boolean | undefined;
  /** What the environment says where nothing else does. */
  insecureByDefault: () => boolean;
}

function withEnvironment(options: ConnectOptions, environment: Readonly<Record<string, string | undefined>>): Settings {
  const file = (given: string | undefined, variable: string): string => {
    const path = given ?? environment[variable] ?? "";
    return path && resolve(expandHome(path));
  };
  return {
    token: checkedToken(options.token ?? environment[TOKEN_VARIABLE] ?? ""),
    caFile: file(options.caFile, CA_FILE_VARIABLE),
    certFile: file(options.certFile, CERT_FILE_VARIABLE),
    keyFile: file(options.keyFile, KEY_FILE_VARIABLE),
    insecure: options.insecure,
    insecureByDefault: () => parseFlag(environment[INSECURE_VARIABLE] ?? "", INSECURE_VARIABLE),
  };
}

function checkedToken(given: string): string {
  const token = given.trim();
  if (!/^[\x20-\x7e]*$/.test(token)) {
    throw new InvalidArgumentError(`${TOKEN_VARIABLE} holds characters that a token never has.`);
  }
  return token;
}

function network(text: string, tls: boolean, settings: Settings): Target {
  const { host, port, insecureOption } = hostAndPort(text);
  const insecure = settings.insecure ?? insecureOption ?? settings.insecureByDefault();
  const shown = isIPv6(host) ? `[${host}]` : host;
  const loopback = isLoopback(host);
  if (!tls && !loopback && !insecure) {
    throw new InvalidArgumentError(
      `holdfast://${shown} would send everything over the network in the clear. Use holdfast+tls://${shown}:${port}, ` +
        `or say that the network is trusted: ?insecure=true, or ${INSECURE_VARIABLE}=1.`,
    );
  }
  if (tls && (settings.certFile === "") !== (settings.keyFile === "")) {
    throw new InvalidArgumentError(
      `${CERT_FILE_VARIABLE} and ${KEY_FILE_VARIABLE} go together: a certificate, and its private key.`,
    );
  }
  // The URI says by itself that the user agreed, so that it works where the variable is not set.
  const query = !tls && !loopback ? "?insecure=true" : "";
  return target(
    {
      uri: `${tls ? "holdfast+tls" : "holdfast"}://${shown}:${port}${query}`,
      address: `${shown}:${port}`,
      tls,
      loopback,
      caFile: tls ? settings.caFile : "",
      certFile: tls ? settings.certFile : "",
      keyFile: tls ? settings.keyFile : "",
    },
    settings.token,
  );
}

function socket(rest: string, settings: Settings): Target {
  const path = rest.replace(/^\/\//, "");
  if (!path) throw new InvalidArgumentError(`unix: names no socket. ${FORMS}`);
  const absolute = resolve(expandHome(path));
  if (Buffer.byteLength(absolute) > MAX_SOCKET_PATH) {
    throw new InvalidArgumentError(
      `The path of a socket is at most ${MAX_SOCKET_PATH} bytes: ${absolute} is longer. Use a shorter one.`,
    );
  }
  const address = `unix:${absolute}`;
  const found = { uri: address, address, tls: false, loopback: true, caFile: "", certFile: "", keyFile: "" };
  return target(found, settings.token);
}

function target(found: Omit<Target, "token">, token: string): Target {
  return Object.freeze(Object.defineProperty({ ...found }, "token", { value: token })) as Target;
}

function hostAndPort(text: string): { host: string; port: number; insecureOption: boolean | undefined } {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidArgumentError(`The address of the server cannot be read. ${FORMS}`);
  }
  if (url.username || url.password) {
    throw new InvalidArgumentError(
      `Credentials do not belong in a URI, which ends up in logs: set ${TOKEN_VARIABLE} in the environment.`,
    );
  }
  if (!url.hostname) throw new InvalidArgumentError(`${text} names no host. ${FORMS}`);
  if ((url.pathname !== "" && url.pathname !== "/") || url.hash) {
    throw new InvalidArgumentError(`${text} has a path, and a server has none: end after the port. ${FORMS}`);
  }
  for (const option of url.searchParams.keys()) {
    if (option !== "insecure") {
      throw new InvalidArgumentError(`Unknown option ${option}: a server's URI takes ?insecure=true only.`);
    }
  }
  const insecure = url.searchParams.get("insecure");
  return {
    host: url.hostname.replace(/^\[|\]$/g, "").toLowerCase(),
    port: url.port ? Number(url.port) : DEFAULT_PORT,
    insecureOption: insecure === null ? undefined : parseFlag(insecure, "?insecure"),
  };
}

function unsupported(text: string, scheme: string | undefined): string {
  if (scheme === "http" || scheme === "https") {
    const meant = scheme === "https" ? "holdfast+tls" : "holdfast";
    return `Holdfast speaks gRPC, not ${scheme}://; write ${meant}://host:port. ${FORMS}`;
  }
  if (/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d+\/?$/.test(text)) {
    const address = text.replace(/\/$/, "");
    return `${text} lacks a scheme: write holdfast://${address}, or holdfast+tls://${address}.`;
  }
  if (scheme === undefined)
    return `${text} is a path: this client has no server of its own to keep data there. ${FORMS}`;
  // The text is not repeated: URIs of databases carry passwords.
  return `The scheme ${scheme} is not supported: data is reached through a Holdfast server only. ${FORMS}`;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}
