/** A VM as the proxy knows it: by its source address. */
export interface ProxyGuest {
  readonly ip: string;
  readonly vmId: string;
}

/** What a guest asks to be connected to. */
export interface Asked {
  /** Lower case, no final dot, letters, digits, "-", "_" and "." alone. */
  readonly name: string;
  readonly port: number;
  readonly protocol: 'tls' | 'http';
}

export interface ProxyVerdict {
  readonly allow: boolean;
  /** The rule that decided, as users know it; empty when none did. */
  readonly rule: string;
  readonly reason: string;
}

export type Resolution = { readonly addresses: readonly string[] } | { readonly error: string };

/** A decision as `vmsan traffic` shows it. `what` is printable ASCII. */
export interface ProxyDecision {
  readonly vmId: string;
  readonly kind: 'tls' | 'http';
  readonly what: string;
  readonly verdict: 'allow' | 'deny';
  readonly rule: string;
  readonly reason: string;
  /** What was dialled; empty when nothing was. */
  readonly address: string;
  readonly port: number;
}

/**
 * What the proxy is handed: it knows sockets, these know policy. All are pure
 * but `resolve`, and are asked again after every wait.
 */
export interface ProxyOptions<Guest extends ProxyGuest = ProxyGuest> {
  /** The port that guests mean and that is dialled: 80 or 443. */
  readonly port: number;
  /** The guest that `source` is as of now. Others are closed unheard. */
  guestOf(source: string): Guest | undefined;
  judge(guest: Guest, asked: Asked): ProxyVerdict;
  /** IPv4 addresses of a name. The guest has no say in them. */
  resolve(guest: Guest, name: string): Promise<Resolution>;
  judgeAddress(guest: Guest, address: string, port: number): ProxyVerdict;
  /** Tells the operator, at a bounded rate. */
  report(event: string, details?: Record<string, unknown>): void;
  record(decision: ProxyDecision): void;
}
