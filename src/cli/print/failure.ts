import { causesOf } from '../../api/failures.ts';
import type { Failure } from '../../host/failure.ts';
import { printable, remark } from './text.ts';

/**
 * The one place where a failure becomes text, on stderr:
 *
 *     vmsan: the rules cannot be set
 *       nft: No such file or directory
 *     hint: apt-get install nftables
 *
 * or with `json` one line `{"error":{"code","message","hint"}}`; hint is null
 * when there is none.
 */
export function printFailure(failure: Failure, { json }: { json: boolean }): void {
  const causes = causesOf(failure);
  if (json) {
    const { code, message, hint = null } = failure;
    remark(JSON.stringify({ error: { code, message: [message, ...causes].join(': '), hint } }));
    return;
  }
  remark(`vmsan: ${printable(failure.message)}`);
  for (const cause of causes) {
    for (const line of cause.split('\n')) remark(`  ${printable(line)}`);
  }
  if (failure.hint !== undefined) remark(`hint: ${printable(failure.hint)}`);
}
