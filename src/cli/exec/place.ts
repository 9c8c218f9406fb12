import type { Started } from '../../api/exec-wire.ts';
import { Failure } from '../../host/failure.ts';
import type { Opening } from './session.ts';

/** A process in a guest that was started before. */
export interface Attachment {
  /** Empty: the only one that nobody is attached to. */
  id: string;
  /** How many bytes of its output the user has had. */
  received: number;
  /** Whether our stdin, our terminal are to be its. */
  stdin: boolean;
  tty: boolean;
}

/**
 * What a user types to attach again: `3f9a02c1`, or `3f9a02c1@18123` for what
 * follows the first 18123 bytes of output.
 * @throws Failure `bad_input`
 */
export function parseReference(text: string): Pick<Attachment, 'id' | 'received'> {
  const [, id = '', received = '0'] = REFERENCE.exec(text) ?? [];
  if (id !== '') return { id, received: Number(received) };
  throw new Failure('bad_input', `"${text}" is not the id of a command, such as 3f9a02c1@18123`, {
    hint: 'vmsan exec --list <vm>',
  });
}

const REFERENCE = /^([0-9a-f]{1,32})(?:@(\d{1,15}))?$/;

/** How far a user has come with the output of a process, and how to go on from there. */
export class Place {
  readonly #vm: string;
  readonly #opening: Opening;
  /** Undefined until the guest has answered. */
  #id: string | undefined;
  #received = 0;

  constructor(vm: string, opening: Opening) {
    this.#vm = vm;
    this.#opening = opening;
    if (opening.case === 'start') return;
    this.#received = opening.value.received;
    if (opening.value.id !== '') this.#id = opening.value.id;
  }

  started({ id, lost }: Started): void {
    // The agent is the guest's: what it says is not pasted into a shell unseen.
    this.#id = REFERENCE.test(id) ? id : '';
    this.#received += lost;
  }

  /** So many bytes more are the user's. */
  passed(bytes: number): void {
    this.#received += bytes;
  }

  /** What to say when the daemon has gone away. */
  failure(): Failure {
    const gone = 'the daemon went away';
    if (this.#id === '') {
      return new Failure('unavailable', `${gone}, and the command in the guest ended with it`);
    }
    if (this.#id === undefined) {
      const see = `vmsan exec --list ${this.#vm}`;
      return new Failure('unavailable', `${gone}; whether the command runs: ${see}`);
    }
    const { stdin, tty } = this.#opening.value;
    const letters = `${stdin ? 'i' : ''}${tty ? 't' : ''}`;
    const words = [
      'vmsan exec --attach',
      ...(letters === '' ? [] : [`-${letters}`]),
      this.#vm,
      this.#received === 0 ? this.#id : `${this.#id}@${this.#received}`,
    ];
    return new Failure('unavailable', `${gone}; the command goes on: ${words.join(' ')}`);
  }
}
