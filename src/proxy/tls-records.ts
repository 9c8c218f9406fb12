/**
 * TLS's outermost layer (RFC 8446 5.1): the same in all versions.
 *
 *     0      1       3        5
 *     │ type │ 3, x  │ length │ that many bytes
 */

export const CONTENT = {
  CHANGE_CIPHER_SPEC: 20,
  ALERT: 21,
  HANDSHAKE: 22,
  APPLICATION: 23,
} as const;
export const RECORD_HEADER = 5;
/** A plaintext record's; 2^14 (RFC 8446 5.1). */
export const MAX_PLAINTEXT = 1 << 14;
/** An encrypted record's; 2^14 + 2048 in TLS 1.2 (RFC 5246 6.2.3). */
export const MAX_CIPHERTEXT = MAX_PLAINTEXT + 2048;
/** Type and length of a handshake message. */
export const HANDSHAKE_HEADER = 4;

/** A fatal alert, as a plaintext record: how a handshake is refused. */
export function fatalAlert(description: number): Buffer {
  return Buffer.from([CONTENT.ALERT, 3, 3, 0, 2, 2, description]);
}

/** RFC 8446 6.2. */
export const ALERT = {
  HANDSHAKE_FAILURE: 40,
  /** "A valid certificate or PSK was received, but when access control was applied, the sender decided not to proceed". */
  ACCESS_DENIED: 49,
  DECODE_ERROR: 50,
  INTERNAL_ERROR: 80,
} as const;

/**
 * Goes over bytes of a message; every read beyond the end gives null, and so
 * do all reads after that one.
 */
export class Cursor {
  readonly #bytes: Buffer;
  #at = 0;
  #broken = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** A number of `size` bytes, 1 to 4, or null. */
  number(size: number): number | null {
    const at = this.#take(size);
    return at === null ? null : this.#bytes.readUIntBE(at, size);
  }

  bytes(length: number): Buffer | null {
    const at = this.#take(length);
    return at === null ? null : this.#bytes.subarray(at, at + length);
  }

  /** Bytes with their length before them, in `size` bytes. */
  vector(size: number): Buffer | null {
    const length = this.number(size);
    return length === null ? null : this.bytes(length);
  }

  /** Whether all was read, and nothing failed. */
  isDone(): boolean {
    return !this.#broken && this.#at === this.#bytes.length;
  }

  #take(length: number): number | null {
    const at = this.#at;
    if (this.#broken || at + length > this.#bytes.length) {
      this.#broken = true;
      return null;
    }
    this.#at += length;
    return at;
  }
}
