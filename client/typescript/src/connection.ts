/** An open connection to a server, with its credentials and options. */

import { Client, connectivityState as State, Metadata, type ChannelOptions } from "@grpc/grpc-js";

import type { Target } from "./config.js";
import { channelCredentials, fingerprint } from "./tls.js";

const MIB = 1 << 20;
const MAX_MESSAGE = 4 * MIB;
/** How long an attempt to connect may take, in milliseconds. gRPC itself would wait 20 s for one who does not answer at all. */
export const CONNECT_TIMEOUT = 5_000;

/** An open gRPC channel. */
export class Connection {
  readonly client: Client;
  /** Whether a server was ever heard on it. */
  answered: boolean;
  /** Tells whether the files of TLS are still those that it was opened with. */
  readonly files: string;

  constructor(
    private readonly target: Target,
    options: { answered: boolean } = { answered: false },
  ) {
    this.answered = options.answered;
    this.files = fingerprint(target);
    this.client = new Client(target.address, channelCredentials(target), channelOptions(target));
  }

  /** What goes with each call: who makes it. */
  metadata(): Metadata {
    const metadata = new Metadata();
    if (this.target.token) metadata.set("authorization", `Bearer ${this.target.token}`);
    return metadata;
  }

  /** Wait until it is known whether the server can be reached; false when that is not known within `CONNECT_TIMEOUT`. */
  async settled(): Promise<boolean> {
    const channel = this.client.getChannel();
    const deadline = Date.now() + CONNECT_TIMEOUT;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state !== State.IDLE && state !== State.CONNECTING) return true;
      const changed = await new Promise<boolean>((resolve) => {
        channel.watchConnectivityState(state, deadline, (error) => resolve(error === undefined));
      });
      if (!changed) return false;
    }
  }

  close(): void {
    this.client.close();
  }
}

function channelOptions(target: Target): ChannelOptions {
  return {
    "grpc.max_receive_message_length": MAX_MESSAGE,
    "grpc.max_send_message_length": MAX_MESSAGE,
    // What a stream may have waiting here unread. With less than 8 MiB a line of 1 Gbit/s and 50 ms is not used whole.
    "grpc-node.flow_control_window": 12 * MIB,
    // The server allows a ping every 10 s.
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
    // Clients would share a connection, and a stalled upload of one would stall another.
    "grpc.use_local_subchannel_pool": 1,
    // gRPC would wait up to two minutes before it looks whether a restarted server is back.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    // Retries are ours: gRPC's own stop once its buffer overflows.
    "grpc.enable_retries": 0,
    "grpc.primary_user_agent": "holdfast-typescript",
    // Names come from the server's address only, never from its name's TXT records.
    "grpc.service_config_disable_resolution": 1,
    // A proxy cannot reach what is on this machine.
    ...(target.loopback ? { "grpc.enable_http_proxy": 0 } : {}),
  };
}
