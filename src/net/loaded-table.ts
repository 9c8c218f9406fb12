import { NftRefused, nftables } from '../host/nft.ts';
import { elementChange } from './element-change.ts';

/** A table of the host's namespace, as text: what was loaded last, and so what to change. */
export class LoadedTable {
  #text = '';

  /**
   * Brings the table to what `text` says, in one transaction; twice is once.
   * @param text of the whole table, which replaces whatever was there
   * @throws NftRefused; then nothing was changed
   */
  load(text: string): void {
    const change = elementChange(this.#text, text);
    this.#text = '';
    if (change === undefined || !applied(change)) nftables(undefined, text);
    this.#text = text;
  }

  /** Somebody else may have changed it: the next load is of the whole. */
  forget(): void {
    this.#text = '';
  }
}

/** @returns false when the table is not what it was: it is to be loaded whole */
function applied(change: string): boolean {
  try {
    if (change !== '') nftables(undefined, change);
    return true;
  } catch (error) {
    if (error instanceof NftRefused) return false;
    throw error;
  }
}
