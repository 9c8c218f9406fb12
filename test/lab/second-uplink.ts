import { run } from '../../src/host/run.ts';
import type { Lab } from './lab.ts';

/** Another way from the lab's host into its internet: a second provider's line, or a VPN's tunnel. */
export interface SecondUplink extends AsyncDisposable {
  link: string;
  /** The host's address there. */
  address: string;
  gateway: string;
}

/** Joins the two machines once more. No route leads there yet. */
export async function addSecondUplink(lab: Lab, link: string): Promise<SecondUplink> {
  const [address, gateway] = ['10.8.0.2', '10.8.0.1'];
  await run([
    ...['ip', 'link', 'add', link, 'netns', String(lab.host.pid), 'type', 'veth'],
    ...['peer', 'name', link, 'netns', String(lab.internet.pid)],
  ]);
  const up = (own: string) => `address add ${own}/24 dev ${link}\nlink set ${link} up\n`;
  await lab.exec(['ip', '-batch', '-'], { stdin: up(address), check: true });
  await lab.internetExec(['ip', '-batch', '-'], { stdin: up(gateway), check: true });
  return {
    link,
    address,
    gateway,
    // Its routes go with it.
    [Symbol.asyncDispose]: async () => {
      await lab.exec(['ip', 'link', 'delete', link], { check: true });
    },
  };
}
