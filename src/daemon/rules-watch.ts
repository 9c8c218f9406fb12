import { messageOf } from '../host/failure.ts';
import { NftWatch } from '../host/nft-watch.ts';
import { isOurTable } from '../net/plan.ts';
import { addAnchor, replaceConstantRules, replaceRuleset } from '../net/vm-links.ts';
import { networkOf, type Context } from './context.ts';

/**
 * Notices when somebody else changes vmsan's tables in the host's namespace,
 * such as by `nft flush ruleset`, and puts them back. Until then nothing passes
 * of a VM that has its rules there; one with a netns is held by those in it.
 */
export class RulesWatch {
  readonly #context: () => Context;
  #watch: NftWatch | null = null;
  /** What is to be done after what is being done. */
  #dirty = false;
  #restoring = false;

  constructor(context: () => Context) {
    this.#context = context;
  }

  /** Watches while there is something to watch. */
  want(wanted: boolean): void {
    if (wanted) {
      this.#watch ??= new NftWatch((tables) => {
        if (tables === null || [...tables].some(isOurTable)) this.#restore();
      });
      return;
    }
    this.#watch?.stop();
    this.#watch = null;
  }

  #restore(): void {
    this.#dirty = true;
    if (this.#restoring) return;
    this.#restoring = true;
    void (async () => {
      while (this.#dirty) {
        this.#dirty = false;
        await restoreRules(this.#context());
      }
      tell(this.#context());
    })().finally(() => (this.#restoring = false));
  }
}

function tell({ log, events }: Context): void {
  const words = 'somebody changed vmsan’s rules on this host; they are put back';
  log.warn(words);
  events.add('rules', null, words);
}

/** Loads all that vmsan has in the host's namespace anew. Never throws: what fails is logged. */
async function restoreRules(context: Context): Promise<void> {
  const attempt = async (about: string, action: () => Promise<void>) => {
    try {
      await action();
    } catch (error) {
      context.log.error({ about, error: messageOf(error) }, 'rules cannot be put back');
    }
  };
  await attempt('the host', () => context.sharedNetwork.restore());
  const bare = context.store.vms().filter(({ netns }) => !netns);
  await Promise.all(
    bare.map(({ id }) => attempt(id, () => context.turns.run(id, () => restoreBare(context, id)))),
  );
}

/** Loads a VM's rules anew; meanwhile its guest stands still. */
async function restoreBare(context: Context, id: string): Promise<void> {
  const vm = context.store.vms().find((known) => known.id === id);
  const machine = context.live.get(id)?.machine;
  if (vm?.state !== 'running' || machine === undefined) return;
  const network = networkOf(context, vm);
  // One that stands still already is let go on by whoever watches its disk.
  const pause = machine.stall === null;
  if (pause) await machine.pause();
  try {
    await addAnchor(network);
    context.leases.change(vm, network, (learned, since) =>
      replaceRuleset(network, context.host, vm.policy, vm.generation, learned, since),
    );
    context.traffic.begin(id);
    replaceConstantRules(network, context.host);
  } finally {
    if (pause) await machine.resume();
  }
}
