import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The work tree this file is in. */
export const TREE = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');

/** Labs live on disk, not in a tmpfs: VM disks do too. */
export const LABS_DIR = '/var/tmp';
export const LAB_PREFIX = 'vmsan-lab-';
export const RECORD_FILE = 'lab.json';

/**
 * Every file of the lab `name`. A lab has no other name on the machine: its
 * namespaces are anonymous and its links are never in the machine's own.
 */
export function labPaths(name: string) {
  const dir = join(LABS_DIR, `${LAB_PREFIX}${name}`);
  return {
    dir,
    /** Who holds it; see record.ts. */
    record: join(dir, RECORD_FILE),
    /** What reached the internet's servers; see internet/journal.ts. */
    journal: join(dir, 'journal.jsonl'),
    control: join(dir, 'control.sock'),
    internetErrors: join(dir, 'internet.stderr'),
    ca: join(dir, 'ca.pem'),
    caKey: join(dir, 'ca.key'),
    serverCertificate: join(dir, 'server.pem'),
    serverKey: join(dir, 'server.key'),
    /** What the lab's host changes in /etc and /var/lib ends up here. */
    etc: join(dir, 'etc'),
    etcWork: join(dir, 'etc.work'),
    varLib: join(dir, 'var-lib'),
    varLibWork: join(dir, 'var-lib.work'),
    /** A service of the lab's host; see host-listener.ts. */
    listener: (port: number) => ({
      journal: join(dir, `host-${port}.jsonl`),
      control: join(dir, `host-${port}.sock`),
    }),
    /** An empty directory to mount things on before they are moved in place. */
    sys: join(dir, 'sys'),
  } as const;
}

export type LabPaths = ReturnType<typeof labPaths>;
