import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';

/** The host's table as VMs come and go, told as a script on the lab's host. */
describe('a table that is changed by its elements', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
  });
  after(async () => {
    await lab?.stop();
  });

  async function script(...lines: string[]): Promise<unknown[]> {
    const source = `
      import { nftables } from '${TREE}/src/host/nft.ts';
      import { LoadedTable } from '${TREE}/src/net/loaded-table.ts';
      import { renderHostRuleset } from '${TREE}/src/net/host-ruleset.ts';
      import { planHost, planVm } from '${TREE}/src/net/plan.ts';
      import { seeded } from '${TREE}/test/lab/random.ts';
      const pools = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
      const vms = Array.from({ length: 8 }, (_, slot) => planVm(pools, slot, 'vm-0000000' + slot));
      const rules = {
        ...{ waiting: [], gateUp: true, upstreams: [], opened: [], dialable: [] },
        ...{ published: [], lentLinks: [] },
      };
      const text = (some) => renderHostRuleset(planHost(pools), { ...rules, ...some });
      const listed = () => nftables(undefined, 'list table inet vmsan');
      const table = new LoadedTable();
      const said = [];
      const say = (value) => said.push(value);
      ${lines.join('\n')}
      console.log(JSON.stringify(said));`;
    const argv = [process.execPath, '--input-type=module-typescript', '-e', source];
    const { stdout } = await lab.exec(argv, { check: true, timeoutMs: 60_000 });
    return JSON.parse(stdout) as unknown[];
  }

  test('is what loading it whole would make it, whatever comes and goes', async () => {
    const said = await script(
      `const random = seeded(7);`,
      `const some = (of) => of.filter(() => random() < 0.5);`,
      `for (let n = 0; n < 60; n += 1) {`,
      `  const wanted = text({`,
      `    vms: some(vms),`,
      `    gateUp: random() < 0.8,`,
      `    opened: some(vms).map((vm) => ({ vm, address: '192.0.2.1' })),`,
      `    dialable: some(['10.0.0.0/8', '192.168.0.0/16']),`,
      `    upstreams: some([{ address: '192.0.2.53', port: 53 }]),`,
      `  });`,
      `  table.load(wanted);`,
      `  const changed = listed();`,
      `  nftables(undefined, wanted);`,
      `  if (changed !== listed()) say([n, changed, listed()]);`,
      `}`,
    );
    assert.deepEqual(said, []);
  });

  test('is loaded whole again when somebody else took it away', async () => {
    const said = await script(
      `table.load(text({ vms: vms.slice(0, 2) }));`,
      `nftables(undefined, 'flush ruleset');`,
      `table.load(text({ vms: vms.slice(0, 3) }));`,
      `const changed = listed();`,
      `nftables(undefined, text({ vms: vms.slice(0, 3) }));`,
      `say(changed === listed());`,
    );
    assert.deepEqual(said, [true]);
  });
});
