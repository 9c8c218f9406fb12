import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { firewalls, load, rulesOf } from '../lab/firewalls.ts';
import { Lab } from '../lab/lab.ts';
import * as world from '../lab/world.ts';
import { hostState } from './host-state.ts';

describe('a VM on a host with ufw, Docker and firewalld', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    await load(lab, firewalls.ufw, firewalls.docker, firewalls.firewalld);
    await lab.vmsan(['daemon', 'start'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  test('works, doctor finds nothing amiss, and the host is as before after rm', async () => {
    const [rules, state] = [await rulesOf(lab), await hostState(lab)];
    await lab.vmsan(['create', '--name', 'web', '--allowed-domain', world.website.name], {
      check: true,
    });
    const url = `http://${world.website.name}/`;
    await lab.vmsan(['exec', 'web', 'curl', '-sSf', '-m', '20', url], { check: true });
    await lab.vmsan(['network', 'web', '--network-policy', 'allow-all'], { check: true });
    const byAddress = ['curl', '-sSf', '-m', '20', `http://${world.website.address}/`];
    await lab.vmsan(['exec', 'web', ...byAddress], { check: true });

    const { exitCode, stdout } = await lab.vmsan(['doctor']);
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /^✓ firewall: ufw and Docker .*let through by a rule of vmsan's/m);
    assert.match(stdout, /^✓ firewall: firewalld /m);

    await lab.vmsan(['rm', '--force', 'web'], { check: true });
    assert.equal(await rulesOf(lab), rules);
    assert.equal(await hostState(lab), state);
  });

  test('beside a kill switch create says what stays shut, and doctor how to open it', async () => {
    await lab.exec(['iptables-nft', '-A', 'FORWARD', '-o', 'tun0', '-j', 'ACCEPT'], {
      check: true,
    });
    const create = ['create', '--name', 'safe', '--network-policy', 'allow-all'];
    const { stderr } = await lab.vmsan(create, { check: true });
    assert.match(stderr, /lets what VMs send out by tun0 alone.*; see vmsan doctor/);
    const { stdout } = await lab.vmsan(['doctor']);
    const hint = /hint: to let it out all the same: (iptables-nft .*)/.exec(stdout)?.[1];
    assert.ok(hint !== undefined, stdout);
    const byAddress = [
      'exec',
      'safe',
      'curl',
      '-sSf',
      '-m',
      '5',
      `http://${world.website.address}/`,
    ];
    assert.notEqual((await lab.vmsan(byAddress)).exitCode, 0);
    await lab.exec(['sh', '-c', hint], { check: true });
    await lab.vmsan(byAddress, { check: true });
    await lab.vmsan(['rm', '--force', 'safe'], { check: true });
  });
});
