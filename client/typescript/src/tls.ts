/** TLS towards the server: credentials from the user's files, and what is wrong when no connection comes of it. */

import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";

import { credentials, type ChannelCredentials } from "@grpc/grpc-js";

import { CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE, type Target } from "./config.js";
import { TlsError } from "./errors.js";

/**
 * What gRPC connects to a server by.
 *
 * @throws {TlsError} A file cannot be read, or does not hold what it should.
 */
export function channelCredentials(target: Target): ChannelCredentials {
  if (!target.tls) return credentials.createInsecure();
  const authorities = read(target.caFile, CA_FILE_VARIABLE);
  const certificate = read(target.certFile, CERT_FILE_VARIABLE);
  const key = read(target.keyFile, KEY_FILE_VARIABLE);
  checkAuthorities(target, authorities);
  checkPair(target, certificate, key);
  return credentials.createSsl(authorities, key, certificate);
}

/** Changes when a file of a connection with TLS was replaced. */
export function fingerprint(target: Target): string {
  const found = [target.caFile, target.certFile, target.keyFile].map((path) => {
    const status = path ? statSync(path, { bigint: true, throwIfNoEntry: false }) : undefined;
    return status === undefined ? "" : `${status.ino}-${status.size}-${status.mtimeNs}`;
  });
  return found.join(" ");
}

/** What the text of a failed connection says about TLS, with the way out; undefined when it says nothing of it. */
export function tlsProblem(target: Target, text: string): string | undefined {
  if (!target.tls) return undefined;
  const certificate = `The certificate of the server at ${target.uri}`;
  if (/certificate has expired/i.test(text)) {
    return `${certificate} has expired: have it renewed, or check this machine's clock.`;
  }
  if (/certificate is not yet valid/i.test(text)) {
    return `${certificate} is not valid yet: check this machine's clock and the server's.`;
  }
  if (/self[- ]signed certificate|unable to (verify|get)/i.test(text)) {
    const trusted = target.caFile ? `those in ${target.caFile}` : "the public ones";
    return (
      `${certificate} is by none of the authorities that this client trusts, ${trusted}: ${CA_FILE_VARIABLE} must ` +
      "name the certificate of the authority that issued it."
    );
  }
  if (/altnames|Hostname\/IP does not match/i.test(text)) {
    const host = target.address.slice(0, target.address.lastIndexOf(":"));
    return `${certificate} is not for ${host}: connect by a name or address that it is for, or have it made for this one.`;
  }
  if (/wrong version number/i.test(text)) {
    const other = `holdfast://${target.address}${target.loopback ? "" : "?insecure=true"}`;
    return (
      `The server at ${target.uri} does not speak TLS: start it with --tls-cert and --tls-key, or, on this machine or ` +
      `a trusted network, use ${other}.`
    );
  }
  if (/certificate required/i.test(text)) return unknownClient(target);
  return undefined;
}

/** What to tell a user whose server wants another certificate of this client, or one at all. */
export function unknownClient(target: Target): string {
  if (!target.certFile) {
    return (
      `The server at ${target.uri} closes connections right after the handshake, as one does that wants a ` +
      `certificate of its clients: ${CERT_FILE_VARIABLE} and ${KEY_FILE_VARIABLE} name yours and its key.`
    );
  }
  return (
    `The server at ${target.uri} does not accept the certificate in ${target.certFile}: it must be valid, and by an ` +
    "authority that the server knows as --tls-client-ca."
  );
}

function read(path: string, variable: string): Buffer | null {
  if (!path) return null;
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new TlsError(`${variable}: ${path} cannot be read: ${(cause as Error).message}.`, { cause });
  }
}

function checkAuthorities(target: Target, authorities: Buffer | null): void {
  // Without a certificate in it a file of authorities is taken for an empty list, and nobody is trusted.
  if (authorities !== null && !/-----BEGIN (TRUSTED )?CERTIFICATE-----/.test(authorities.toString("latin1"))) {
    throw new TlsError(
      `${CA_FILE_VARIABLE}: ${target.caFile} holds no whole certificate in PEM (-----BEGIN CERTIFICATE-----).`,
    );
  }
}

function checkPair(target: Target, certificate: Buffer | null, key: Buffer | null): void {
  if (certificate === null || key === null) return;
  try {
    createSecureContext({ cert: certificate, key });
  } catch (cause) {
    throw new TlsError(
      `${CERT_FILE_VARIABLE} and ${KEY_FILE_VARIABLE} must be a certificate and its private key, in PEM and without a ` +
        `passphrase; ${target.certFile} and ${target.keyFile} are not (${(cause as Error).message}).`,
      { cause },
    );
  }
}
