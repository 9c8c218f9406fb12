import { Failure } from '../../src/host/failure.ts';
import { buildBundle, bundleIsCurrent } from '../build/bundle.ts';
import type { Step } from './step.ts';

/** The CLI, the daemon and the gate, as bin/vmsan runs them. */
export const bundle: Step = {
  title: 'The vmsan bundle',
  missing: () => Promise.resolve(bundleIsCurrent() ? undefined : 'a bundle of the present sources'),
  bring: async () => {
    await buildBundle().catch((cause: unknown) => {
      throw new Failure('internal', 'the sources in src/ cannot be bundled', { cause });
    });
  },
};
