import { messageOf } from '../host/failure.ts';
import { netnsDirectoryExists, removeNetnsDirectory } from '../net/vm-links.ts';
import type { Context } from './context.ts';

const MADE_BY_US = 'the directory of netns is ours';

/** Remembers, before the first netns is made, whether its directory was there. */
export function noteNetnsDirectory(context: Context): void {
  if (!netnsDirectoryExists()) context.store.setFact(MADE_BY_US, 'yes');
}

/** After a reboot the directory is whoever's made it then. */
export function forgetNetnsDirectory(context: Context): void {
  context.store.removeFact(MADE_BY_US);
}

/** Forgets a VM. After the last one, the directory of network namespaces is as it was before the first. */
export async function forgetVm(context: Context, id: string): Promise<void> {
  context.store.removeVm(id);
  context.leases.forget(id);
  context.traffic.forget(id);
  if (context.store.vms().length > 0 || context.store.fact(MADE_BY_US) === undefined) return;
  try {
    await removeNetnsDirectory();
    context.store.removeFact(MADE_BY_US);
  } catch (error) {
    context.log.warn({ error: messageOf(error) }, 'the directory of netns stays');
  }
}
