import type { WatchTrafficRequest } from '../gen/vmsan/v1/vmsan_pb.js';
import type { Context } from './context.ts';
import { findVm } from './find.ts';
import type { News } from './traffic-follower.ts';

/**
 * What was decided for a VM; with `follow` also what will be.
 * @throws Failure `not_found`
 */
export async function* trafficOf(
  context: Context,
  {
    vm,
    follow,
    denied,
    sinceMs,
  }: Pick<WatchTrafficRequest, 'vm' | 'follow' | 'denied' | 'sinceMs'>,
  signal: AbortSignal,
): AsyncGenerator<News> {
  const { id } = findVm(context.store, vm);
  const options = { denied, sinceMs: sinceMs === 0n ? 0 : Date.now() - Number(sinceMs) };
  if (follow) yield* context.traffic.follow(id, options, signal);
  else yield context.traffic.of(id, options);
}
