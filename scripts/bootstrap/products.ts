import { buildBundle, bundleIsCurrent } from '../build/bundle.ts';
import type { Step } from './step.ts';

/** The CLI, the daemon and the gate, as bin/vmsan runs them. */
export const bundle: Step = {
  title: 'The vmsan bundle',
  missing: () => Promise.resolve(bundleIsCurrent() ? undefined : 'a bundle of the present sources'),
  bring: async () => {
    await buildBundle();
  },
};
