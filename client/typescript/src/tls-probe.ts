/** Asks a server itself whether TLS is why no connection without it comes about. */

import { connect } from "node:tls";

import { CA_FILE_VARIABLE, type Target } from "./config.js";

/** Milliseconds for a look at the server, which is near or was reached just now. */
const PROBE_TIMEOUT = 3_000;

/**
 * Whether a server that is connected to without TLS speaks it. Sends the beginning of a TLS handshake and nothing of the
 * user's.
 */
export function speaksTls(target: Target): Promise<boolean> {
  if (target.tls || target.address.startsWith("unix:")) return Promise.resolve(false);
  const separator = target.address.lastIndexOf(":");
  const host = target.address.slice(0, separator).replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port: Number(target.address.slice(separator + 1)),
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false, // a look, over which nothing is said
      timeout: PROBE_TIMEOUT,
    });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("secureConnect", () => {
      end(true);
    });
    socket.once("error", () => {
      end(false);
    });
    socket.once("timeout", () => {
      end(false);
    });
  });
}

/** What to tell a user whose server speaks TLS. */
export function wantsTls(target: Target): string {
  return (
    `The server at ${target.uri} speaks TLS: use holdfast+tls://${target.address}. Unless a public authority certified ` +
    `it, ${CA_FILE_VARIABLE} names the certificate of its authority.`
  );
}
