import type { TrafficEntryJson as WireEntry } from '../../gen/vmsan/v1/vmsan_pb.js';
import { table } from './table.ts';
import { printable } from './text.ts';

/** A decision as `--json` prints it, and how many like it there were. Fields are added, never changed. */
export interface TrafficJson {
  /** Of the last, RFC 3339, UTC. */
  at: string;
  firstAt: string;
  /** `dns`, `tls`, `http`, `address`, `frame`, `flow`. */
  kind: string;
  /** As the guest wrote it. */
  what: string;
  /** `allow`, `deny`. */
  verdict: string;
  /** Null when none decided. */
  rule: string | null;
  reason: string;
  /** Where it went, or was to go; null when that is not known. */
  address: string | null;
  port: number | null;
  count: number;
}

export function entryJson(entry: WireEntry): TrafficJson {
  const { kind = '', what = '', verdict = '', reason = '' } = entry;
  return {
    at: time(entry.lastAtMs),
    firstAt: time(entry.firstAtMs),
    kind,
    what,
    verdict,
    rule: entry.rule || null,
    reason,
    address: entry.address || null,
    port: entry.port || null,
    count: Number(entry.count ?? 1),
  };
}

const HEAD = ['TIME', 'KIND', 'WHAT', 'VERDICT', 'RULE', 'REASON', 'COUNT'];
/** While it goes on nobody knows what is still to come. */
const WIDTHS = [24, 7, 32, 7, 16, 40];

export function trafficRows(entries: readonly TrafficJson[]): string {
  return table(entries.map(cells), HEAD);
}

/** The table a line at a time, with its head before the first. */
export class TrafficTable {
  #headed = false;

  line(entry: TrafficJson): string {
    const head = this.#headed ? '' : `${padded(HEAD)}\n`;
    this.#headed = true;
    return head + padded(cells(entry).map(printable));
  }
}

function cells({ at, kind, what, verdict, rule, reason, count }: TrafficJson): string[] {
  return [at, kind, shortened(what), VERDICTS[verdict] ?? verdict, rule ?? '', reason, `${count}`];
}

const VERDICTS: Readonly<Record<string, string>> = { allow: 'allowed', deny: 'denied' };
const MAX_WHAT = 60;

/** What a guest wrote may be long; `--json` has all of it. */
function shortened(what: string): string {
  return what.length <= MAX_WHAT ? what : `${what.slice(0, MAX_WHAT - 1)}…`;
}

function padded(row: readonly string[]): string {
  return row
    .map((cell, column) => cell.padEnd(WIDTHS[column] ?? 0))
    .join('   ')
    .trimEnd();
}

function time(ms: string | number = 0): string {
  return new Date(Number(ms)).toISOString();
}
