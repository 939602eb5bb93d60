/** Asks a server itself whether TLS is why no connection comes about, where gRPC's text leaves that open. */

import { readFileSync } from "node:fs";
import { connect } from "node:tls";

import { CA_FILE_VARIABLE, type Target } from "./config.js";
import { unknownClient } from "./tls.js";

/** Milliseconds for a look at the server, which is near or was reached just now. */
const PROBE_TIMEOUT = 3_000;

/** What came of a handshake: none of it, the server closed the connection right after it, or spoke. */
type Handshake = "none" | "closed" | "answered";

/** What is wrong about TLS, with the way out; undefined when TLS is not why. Sends nothing of the user's. */
export async function probeTls(target: Target): Promise<string | undefined> {
  if (target.address.startsWith("unix:")) return undefined;
  const handshake = await shakeHands(target);
  if (target.tls) return handshake === "closed" ? unknownClient(target) : undefined;
  if (handshake === "none") return undefined;
  return (
    `The server at ${target.uri} speaks TLS: use holdfast+tls://${target.address}. Unless a public authority certified ` +
    `it, ${CA_FILE_VARIABLE} names the certificate of its authority.`
  );
}

function shakeHands(target: Target): Promise<Handshake> {
  const separator = target.address.lastIndexOf(":");
  return new Promise((resolve) => {
    let found: Handshake = "none";
    const socket = connect({
      host: target.address.slice(0, separator).replace(/^\[|\]$/g, ""),
      port: Number(target.address.slice(separator + 1)),
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false, // a look, over which nothing is said
      timeout: PROBE_TIMEOUT,
      ...(target.certFile ? { cert: readFileSync(target.certFile), key: readFileSync(target.keyFile) } : {}),
    });
    const end = (answer: Handshake): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("secureConnect", () => {
      found = "closed"; // unless it speaks
    });
    // A server of HTTP/2 speaks first.
    socket.once("data", () => end("answered"));
    socket.once("end", () => end(found));
    socket.once("error", () => end(found));
    socket.once("timeout", () => end("none"));
  });
}
