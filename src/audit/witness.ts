import { closeFd, lostFrames, nextFrame, tapLink } from '../host/ffi.ts';
import type { Witnessed } from './evidence.ts';

/** Enough to tell a packet by; a DNS query with its token is shorter. */
const KEPT_OF_FRAME = 256;
const MOST_FRAMES = 8_192;
const WAITING_BYTES = 4 * 1024 * 1024;
const LOOK_MS = 20;

/**
 * Watches the host's end of a VM's link: what is seen there has left the VM's
 * network namespace, past the VM's own rules, and the host's have not judged it yet.
 */
export class Witness implements Disposable {
  readonly #fd: number;
  readonly #frames: Buffer[] = [];
  readonly #timer: NodeJS.Timeout;
  #lost = false;

  /** @throws SystemCallFailed when there is no such link */
  constructor(link: string) {
    this.#fd = tapLink(link, WAITING_BYTES);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** All that was seen; whole when nothing was lost and the guest's last frame is in it. */
  seen(lastToken: Buffer): Witnessed {
    this.#look();
    if (lostFrames(this.#fd) > 0) this.#lost = true;
    const last = this.#frames.some((frame) => frame.includes(lastToken));
    return { frames: this.#frames, whole: last && !this.#lost };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    closeFd(this.#fd);
  }

  #look(): void {
    for (let count = 0; count < MOST_FRAMES; count += 1) {
      const frame = nextFrame(this.#fd, KEPT_OF_FRAME);
      if (frame === undefined) return;
      if (this.#frames.length < MOST_FRAMES) this.#frames.push(Buffer.from(frame));
      else this.#lost = true;
    }
  }
}
