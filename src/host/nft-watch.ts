import { randomBytes } from 'node:crypto';
import { isErrno } from './failure.ts';
import { closeFd, listenNetlink, receiveNow } from './ffi.ts';
import { nftables } from './nft.ts';

// <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>
const NETLINK_NETFILTER = 12;
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;
/** Of every message about an object: its table's name. Of NEWGEN: the generation's number. */
const FIRST_ATTRIBUTE = 1;
const NFTA_GEN_PROC_PID = 2;
const HEADERS = 20;

const LOOK_EVERY_MS = 100;
/** Longer than any message of the kernel's. */
const BYTES = 65_536;

/** A transaction of nftables', as the kernel tells of it. */
export interface Change {
  tables: ReadonlySet<string>;
  /** In the kernel's eyes; null when it is not told. */
  process: number | null;
}

/**
 * Follows what other processes change of nftables in this process's network
 * namespace. (Not by `nft monitor`: that of 1.0.6 dies of `nft flush ruleset`.)
 */
export class NftWatch {
  readonly #fd = listenNetlink(NETLINK_NETFILTER, NFNLGRP_NFTABLES);
  readonly #onChange: (tables: ReadonlySet<string> | null) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #bytes = Buffer.alloc(BYTES);
  readonly #reader = changeReader();
  /**
   * Our process's number in the kernel's eyes may be another than in ours
   * (pid_namespaces(7)): the transaction that makes and deletes this table tells.
   */
  readonly #token = `vmsan-watch-${randomBytes(8).toString('hex')}`;
  #self: number | null = null;

  /** @param onChange told of the tables that another process touched; null when that is not known */
  constructor(onChange: (tables: ReadonlySet<string> | null) => void) {
    this.#onChange = onChange;
    nftables(undefined, `add table inet ${this.#token}\ndelete table inet ${this.#token}\n`);
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    closeFd(this.#fd);
  }

  #look(): void {
    try {
      for (;;) {
        const got = receiveNow(this.#fd, this.#bytes);
        if (got === null) return;
        for (const change of this.#reader(this.#bytes.subarray(0, got))) this.#hear(change);
      }
    } catch (error) {
      // More was told than the socket holds.
      if (!isErrno(error, 'ENOBUFS')) throw error;
      this.#onChange(null);
    }
  }

  #hear({ tables, process }: Change): void {
    if (tables.has(this.#token)) this.#self = process;
    else if (this.#self !== null && process !== this.#self) this.#onChange(tables);
  }
}

/** Reads messages, one datagram after the other, and gives the transactions that are whole. */
export function changeReader(): (bytes: Buffer) => Change[] {
  let tables = new Set<string>();
  return (bytes) => {
    const changes: Change[] = [];
    for (let at = 0; at + HEADERS <= bytes.length;) {
      const length = bytes.readUInt32LE(at);
      if (length < HEADERS || at + length > bytes.length) break;
      const type = bytes.readUInt16LE(at + 4);
      const attributes = attributesOf(bytes.subarray(at + HEADERS, at + length));
      at += align(length);
      if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
      if ((type & 0xff) !== NFT_MSG_NEWGEN) {
        const name = attributes.get(FIRST_ATTRIBUTE);
        if (name !== undefined) tables.add(name.toString().replace(/\0.*/s, ''));
        continue;
      }
      const process = attributes.get(NFTA_GEN_PROC_PID);
      changes.push({ tables, process: process?.length === 4 ? process.readUInt32BE() : null });
      tables = new Set();
    }
    return changes;
  };
}

/** `struct nlattr`: length with its own four bytes, type, value, padded to four bytes. */
function attributesOf(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) break;
    attributes.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += align(length);
  }
  return attributes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
