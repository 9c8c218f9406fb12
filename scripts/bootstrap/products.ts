import { Failure } from '../../src/host/failure.ts';
import { agentIsCurrent, buildAgent } from '../build/agent.ts';
import { buildBundle, bundleIsCurrent } from '../build/bundle.ts';
import { buildImages, imagesAreCurrent } from '../build/images.ts';
import type { Step } from './step.ts';

/** What is built out of this tree. */
export const products: readonly Step[] = [
  {
    title: 'Agent (and the Go modules in it)',
    missing: () => Promise.resolve(agentIsCurrent() ? undefined : 'the agent of these sources'),
    bring: buildAgent,
  },
  {
    title: 'Guest images',
    missing: async () => ((await imagesAreCurrent()) ? undefined : 'kernel, initramfs or base'),
    bring: async (report) => {
      await buildImages(report);
    },
  },
  {
    title: 'CLI, daemon and gate',
    missing: () => Promise.resolve(bundleIsCurrent() ? undefined : 'a bundle of these sources'),
    bring: async () => {
      await buildBundle().catch((cause: unknown) => {
        throw new Failure('internal', 'the sources in src/ cannot be bundled', { cause });
      });
    },
  },
];
