import koffi from 'koffi';
import { inNetns } from './ffi.ts';

/**
 * nftables in this process, through libnftables(3): one call is one kernel
 * transaction, without the price of a spawned `nft`.
 */

const lib = koffi.load('libnftables.so.1');
const nft = {
  ctxNew: lib.func('void *nft_ctx_new(uint32_t flags)'),
  ctxFree: lib.func('void nft_ctx_free(void *ctx)'),
  bufferOutput: lib.func('int nft_ctx_buffer_output(void *ctx)'),
  bufferError: lib.func('int nft_ctx_buffer_error(void *ctx)'),
  output: lib.func('const char *nft_ctx_get_output_buffer(void *ctx)'),
  error: lib.func('const char *nft_ctx_get_error_buffer(void *ctx)'),
  run: lib.func('int nft_run_cmd_from_buffer(void *ctx, const char *commands)'),
};
const NFT_CTX_DEFAULT = 0;

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
  return netns === undefined ? transact(commands) : inNetns(netns, () => transact(commands));
}

// The context is made and freed inside the namespace: it holds a netlink
// socket, and an open netlink socket keeps a deleted netns alive.
function transact(commands: string): string {
  const ctx: unknown = nft.ctxNew(NFT_CTX_DEFAULT);
  try {
    nft.bufferOutput(ctx);
    nft.bufferError(ctx);
    const result = nft.run(ctx, commands) as number;
    if (result !== 0) throw new NftRefused(commands, String(nft.error(ctx)));
    return String(nft.output(ctx) ?? '');
  } finally {
    nft.ctxFree(ctx);
  }
}
