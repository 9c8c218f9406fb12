import { statSync } from 'node:fs';
import koffi from 'koffi';
import { inNetns, withoutSignals } from './ffi.ts';

/**
 * nftables in this process, through libnftables(3): one call is one kernel
 * transaction, without the price of a spawned `nft`.
 */

const lib = koffi.load('libnftables.so.1');
const nft = {
  ctxNew: lib.func('void *nft_ctx_new(uint32_t flags)'),
  ctxFree: lib.func('void nft_ctx_free(void *ctx)'),
  setOutput: lib.func('void nft_ctx_output_set_flags(void *ctx, uint32_t flags)'),
  bufferOutput: lib.func('int nft_ctx_buffer_output(void *ctx)'),
  bufferError: lib.func('int nft_ctx_buffer_error(void *ctx)'),
  output: lib.func('const char *nft_ctx_get_output_buffer(void *ctx)'),
  error: lib.func('const char *nft_ctx_get_error_buffer(void *ctx)'),
  run: lib.func('int nft_run_cmd_from_buffer(void *ctx, const char *commands)'),
};
const NFT_CTX_DEFAULT = 0;
/** STATELESS, HANDLE, JSON and TERSE: without counts, without the elements of sets (nftables/libnftables.h). */
const JSON_FLAGS = (1 << 2) | (1 << 3) | (1 << 4) | (1 << 11);

/** The kernel or the parser refused a ruleset; nothing of it was applied. */
export class NftRefused extends Error {
  override readonly name = 'NftRefused';
  readonly commands: string;

  constructor(commands: string, words: string) {
    super(`nft: ${words.trim()}`);
    this.commands = commands;
  }
}

/**
 * Runs `commands` as one transaction in the network namespace at `netns`, or
 * in the process's own when it is undefined.
 * @returns what nft printed, for `list` commands
 * @throws NftRefused; then nothing was applied
 */
export function nftables(netns: string | undefined, commands: string): string {
  return inNetns(netns, () => transact(commands));
}

/**
 * What a `list` command finds, as libnftables-json(5), with handles, without counts and the elements of sets.
 * @throws NftRefused
 */
export function nftablesJson<T>(netns: string | undefined, command: string): T {
  const list = () => transact(command, JSON_FLAGS);
  return JSON.parse(netns === undefined ? list() : inNetns(netns, list)) as T;
}

function transact(commands: string, outputFlags = 0): string {
  const context = contextHere();
  nft.setOutput(context.ctx, outputFlags);
  const result = withoutSignals(() => nft.run(context.ctx, commands) as number);
  // Each is emptied by reading it.
  const output = String(nft.output(context.ctx) ?? '');
  const words = String(nft.error(context.ctx) ?? '');
  if (result === 0) return output;
  context.free();
  throw new NftRefused(commands, words);
}

interface NftContext {
  ctx: unknown;
  idle: NodeJS.Timeout;
  free(): void;
}

/**
 * Contexts by the namespace that their netlink socket is of. One is kept until
 * it has not been used for a moment: its close waits until the kernel has freed
 * what its transactions replaced, 8 to 20 ms (nft_rcv_nl_event in Linux's
 * nf_tables_api.c), and a moment later there is nothing to wait for. No longer
 * than that, because an open netlink socket keeps a deleted netns alive.
 */
const contexts = new Map<string, NftContext>();
const IDLE_MS = 50;

/** The context of the calling thread's network namespace. */
function contextHere(): NftContext {
  // Not by path: the next netns of that name is another one. While the socket
  // is open, its namespace's number is nobody else's.
  const { dev, ino } = statSync('/proc/thread-self/ns/net');
  const key = `${dev}:${ino}`;
  const known = contexts.get(key);
  known?.idle.refresh();
  if (known !== undefined) return known;
  const ctx: unknown = nft.ctxNew(NFT_CTX_DEFAULT);
  nft.bufferOutput(ctx);
  nft.bufferError(ctx);
  const free = () => {
    clearTimeout(idle);
    contexts.delete(key);
    nft.ctxFree(ctx);
  };
  const idle = setTimeout(free, IDLE_MS).unref();
  const context = { ctx, idle, free };
  contexts.set(key, context);
  return context;
}
