/**
 * The frames of the wire protocol, version 1, field by field; `protocol.ts` writes and reads them.
 *
 * @module
 */

/** What an inherited descriptor is. */
export type SocketKind = "tcp" | "unix" | "udp" | "raw";

/** One inherited descriptor as `hello` announces it. */
export interface SocketEntry {
  /** Its number in the child. */
  readonly fd: number;
  /** What it is. */
  readonly kind: SocketKind;
  /** The name under which the child claims it. */
  readonly identity: string;
  /** Where the kernel says it is bound: `host:port`, `[host]:port` or `unix:path`; empty for raw descriptors. */
  readonly address: string;
  /** A service manager made it: its path, if it has one, is nobody's to remove. Absent otherwise. */
  readonly managed?: boolean;
}

/** A generation that still has connections to finish. */
export interface DrainingGeneration {
  /** Its process id. */
  readonly pid: number;
  /** Which process in the chain it is. */
  readonly generation: number;
  /** Tells it from a later process of the same number: when it was started, in ticks since boot (proc(5)). */
  readonly started?: string;
  /** Since when it drains, in milliseconds since the epoch. */
  readonly since?: number;
  /** When what is left will be cut, in milliseconds since the epoch. */
  readonly deadline?: number;
}

/** First frame, parent to child: who the parent is and what the child inherits. */
export interface HelloFrame {
  /** First frame of the parent. */
  readonly type: "hello";
  /** Version of the protocol. */
  readonly v: 1;
  /** Generation of the child. */
  readonly generation: number;
  /** Process id of the parent. */
  readonly pid: number;
  /** Runtime of the parent. */
  readonly runtime: string;
  /** What the child inherits. */
  readonly sockets: readonly SocketEntry[];
  /** How long the child has until it must be ready, in milliseconds from now. */
  readonly deadlineMs: number;
  /** How long the parent will watch the child before it commits, in milliseconds. */
  readonly probationMs: number;
  /** Older generations that are still draining. */
  readonly draining: readonly DrainingGeneration[];
  /** How long the parent will drain, in milliseconds; absent when it does not say. */
  readonly drainTimeoutMs?: number;
  /** Names of application state that the child may take; absent when there are none. */
  readonly offers?: readonly string[];
  /** Path of the parent's control socket, which the child may take over. */
  readonly control?: string;
}

/** Child to parent: I have read `hello`, and everything that it names is there. */
export interface JoinedFrame {
  /** The child knows what it inherits. */
  readonly type: "joined";
}

/** Child to parent: I have all I need and I am serving. */
export interface ReadyFrame {
  /** The child serves. */
  readonly type: "ready";
  /** Process id of the child. */
  readonly pid: number;
  /** Generation of the child. */
  readonly generation: number;
  /** Runtime of the child. */
  readonly runtime: string;
  /** Version of the runtime. */
  readonly version: string;
  /** Identities of the inherited sockets that the child claimed. */
  readonly used: readonly string[];
}

/** Child to parent, before `ready`: send me this state. */
export interface TakeFrame {
  /** The child wants state. */
  readonly type: "take";
  /** One of `offers`; each can be taken once. */
  readonly name: string;
}

/** Child to parent: so much of this state has been consumed; the parent is at most a mebibyte ahead. */
export interface MoreFrame {
  /** The child wants more. */
  readonly type: "more";
  /** Of which state. */
  readonly name: string;
  /** How many bytes were consumed since the last such frame. */
  readonly bytes: number;
}

/** Parent to child: the next bytes of a state. */
export interface ChunkFrame {
  /** Bytes of state. */
  readonly type: "chunk";
  /** Of which. */
  readonly name: string;
  /** In base64 (RFC 4648, section 4). */
  readonly data: string;
}

/** Parent to child: this state is complete. */
export interface EndFrame {
  /** The state is complete. */
  readonly type: "end";
  /** Which. */
  readonly name: string;
}

/** Child to parent, as the owner: I have been replaced, or I stop; my end is no failure. */
export interface LeftFrame {
  /** The child leaves in order. */
  readonly type: "left";
}

/** Child to parent: I cannot take over. */
export interface FailFrame {
  /** The child cannot take over. */
  readonly type: "fail";
  /** Why. */
  readonly message: string;
  /** Tail of the stack, or empty. */
  readonly stack: string;
}

/** Parent to child: I watch you for a while; both of us accept. */
export interface ProbationFrame {
  /** The child is watched. */
  readonly type: "probation";
}

/** Parent to child, on probation: how are you? */
export interface AskFrame {
  /** The status is asked for. */
  readonly type: "ask";
  /** To be repeated in the answer. */
  readonly id: number;
}

/** Child to parent: so am I. */
export interface TellFrame {
  /** The status is told. */
  readonly type: "tell";
  /** Of the question. */
  readonly id: number;
  /** What `status()` returns. */
  readonly status: Readonly<Record<string, unknown>>;
}

/** Parent to child: take the names over (PID file, Unix paths, control socket). */
export interface CommitFrame {
  /** The child is to take over. */
  readonly type: "commit";
}

/** Child to parent: the names are mine. */
export interface OwnedFrame {
  /** The child has taken over. */
  readonly type: "owned";
}

/** Parent to child: the upgrade is called off. */
export interface AbortFrame {
  /** The child is to go. */
  readonly type: "abort";
  /** Why. */
  readonly reason: string;
}

/** Parent to child, after `owned`: what became of the last upgrades; again when the parent has drained. */
export interface HistoryFrame {
  /** The past is told. */
  readonly type: "history";
  /** At most ten, oldest first; plain JSON that the child only shows. */
  readonly records: readonly Readonly<Record<string, unknown>>[];
  /** Counters of the service; plain JSON that the child goes on from. */
  readonly totals?: Readonly<Record<string, unknown>>;
}

/** Parent to child, after `owned`: somebody asked me, and you are the one to ask. */
export interface RelayFrame {
  /** A request is passed on. */
  readonly type: "relay";
  /** What was asked for. */
  readonly request: "upgrade" | "stop";
}

/** Child to parent, after `owned`: that draining generation is to cut its connections now. */
export interface CutFrame {
  /** A drain is to end. */
  readonly type: "cut";
  /** The parent's own process id, or that of an older generation, to whom it passes it on. */
  readonly pid: number;
}

/** Any frame of version 1. */
export type Frame =
  | HelloFrame
  | JoinedFrame
  | ReadyFrame
  | TakeFrame
  | MoreFrame
  | ChunkFrame
  | EndFrame
  | FailFrame
  | ProbationFrame
  | AskFrame
  | TellFrame
  | CommitFrame
  | OwnedFrame
  | LeftFrame
  | AbortFrame
  | HistoryFrame
  | RelayFrame
  | CutFrame;

/** What the environment variable says. */
export interface Invitation {
  readonly v: 1;
  /** The channel's descriptor. */
  readonly fd: number;
  /** Process id of the parent. */
  readonly ppid: number;
}
