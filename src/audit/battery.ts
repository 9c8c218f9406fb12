import { judge, type Attempt, type Judged } from './attempt.ts';
import { addressAttempts } from './attempts/addresses.ts';
import { contentAttempts } from './attempts/content.ts';
import { control, linkAttempts } from './attempts/link.ts';
import { nameAttempts } from './attempts/names.ts';
import { packetAttempts } from './attempts/packets.ts';
import { Evidence, type Witnessed } from './evidence.ts';
import { Kit } from './kit.ts';
import { readAnswers, requestLines } from './probe.ts';
import type { Site } from './site.ts';

/** The guest's link, as its kernel names it. */
const LINK = 'eth0';
/** How long the guest listens after its last packet: what refuses is next door. */
const LISTEN_MS = 1_000;

/** One audit: what the guest is to do, and what follows from what it saw and what was seen of it. */
export class Battery {
  /** For the guest's probe. */
  readonly input: string;
  /** Of the guest's last frame, which nothing holds back: when it is seen, all before it would have been. */
  readonly lastToken: Buffer;
  readonly #site: Site;
  readonly #attempts: readonly Attempt[];

  constructor(site: Site) {
    this.#site = site;
    const kit = new Kit(site);
    this.#attempts = [
      ...addressAttempts(kit),
      ...nameAttempts(kit),
      ...contentAttempts(kit),
      ...linkAttempts(kit),
      ...packetAttempts(kit),
    ];
    this.lastToken = control(kit);
    this.input = requestLines({ link: LINK, send: kit.frames, listenMs: LISTEN_MS }, kit.talks);
  }

  /**
   * @param output what the probe printed
   * @returns one finding for each attempt, in order
   */
  judge(output: string, witnessed: Witnessed): Judged[] {
    const evidence = new Evidence(this.#site, readAnswers(output), witnessed);
    return this.#attempts.map((each) => judge(each, evidence));
  }
}
