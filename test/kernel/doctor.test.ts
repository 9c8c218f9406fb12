import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { firewalls, load, rulesOf, unload } from '../lab/firewalls.ts';
import { Lab } from '../lab/lab.ts';
import { addSecondUplink } from '../lab/second-uplink.ts';
import * as world from '../lab/world.ts';

interface CheckJson {
  name: string;
  status: 'ok' | 'note' | 'failed';
  detail: string;
  hint: string | null;
}

describe('vmsan doctor looks at what else has a say in VMs’ traffic', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['daemon', 'start'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const sh = (script: string) => lab.exec(['sh', '-ec', script], { check: true });
  const checks = async () => {
    const { stdout } = await lab.vmsan(['doctor', '--json']);
    const all = JSON.parse(stdout) as CheckJson[];
    return new Map(all.map((check) => [check.name, check]));
  };

  test('a simple host', async () => {
    const found = await checks();
    const status = (name: string) => found.get(name)?.status;
    for (const name of ['resolvers', 'networks', 'uplinks', 'routing rules', 'reverse paths']) {
      assert.equal(status(name), 'ok', name);
    }
    assert.equal(status('firewalls'), 'ok');
    assert.match(found.get('uplinks')!.detail, /^eth0$/);
    assert.match(
      found.get('resolvers')!.detail,
      /^192\.0\.2\.53, of \/etc\/resolv\.conf, followed$/,
    );
  });

  test('each firewall, by its name, with the command that lets VMs pass; nothing is changed', async () => {
    const { ufw, docker, legacy, firewalld, own } = firewalls;
    await load(lab, ufw, docker, legacy, firewalld, own);
    const before = await rulesOf(lab);
    const found = await checks();
    assert.equal(await rulesOf(lab), before);
    const expected = {
      'ufw and Docker': [
        /iptables-nft INPUT refuses VMs’ names and proxy/,
        /iptables-nft -A FORWARD/,
      ],
      'iptables-legacy': [
        /iptables-legacy FORWARD refuses what VMs send/,
        /iptables-legacy -I FORWARD 1 /,
      ],
      firewalld: [/filter_FORWARD refuses what VMs send/, /firewall-cmd --zone=trusted/],
      'nftables inet filter': [/inet filter forward refuses/, /nft 'add rule inet filter forward/],
    } as const;
    for (const [name, [detail, hint]] of Object.entries(expected)) {
      const check = found.get(`firewall: ${name}`);
      assert.equal(check?.status, 'note', name);
      assert.match(check.detail, detail);
      assert.match(check.hint!, hint);
    }
    const { stdout } = await lab.vmsan(['doctor']);
    assert.match(stdout, /^! firewall: firewalld .*refuses/m);
    await unload(lab);
  });

  test('a VPN, strict reverse paths, systemd-resolved’s stub', async () => {
    await using vpn = await addSecondUplink(lab, 'tun0');
    await sh(`for half in 0.0.0.0/1 128.0.0.0/1; do ip route add $half via ${vpn.gateway} dev tun0; done
      echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
      ip rule add not fwmark 51820 table 51820
      echo 'nameserver 127.0.0.53' >/etc/resolv.conf`);
    const found = await checks();
    assert.match(
      found.get('uplinks')!.detail,
      /tun0 \(takes all, as a VPN does\).*VMs’ packets take the one that the host’s/,
    );
    assert.match(found.get('routing rules')!.detail, /rules choose the tables 51820 too/);
    assert.equal(found.get('reverse paths')?.status, 'note');
    assert.match(found.get('reverse paths')!.hint!, /sysctl -w net\.ipv4\.conf\.tun0\.rp_filter=2/);
    assert.match(found.get('resolvers')!.detail, /^127\.0\.0\.53 \(systemd-resolved’s stub\)/);
    await sh(`echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
      ip rule delete not fwmark 51820 table 51820
      echo 'nameserver ${world.resolver.address}' >/etc/resolv.conf`);
  });

  test('pools that the host routes elsewhere', async () => {
    await sh(`ip route add 172.16.4.0/22 via ${world.router.address}`);
    assert.match((await checks()).get('networks')!.detail, /of 256 .* in use, 4 skipped/);
    await sh(`ip route add 172.16.0.0/12 via ${world.router.address}`);
    const full = (await checks()).get('networks')!;
    assert.equal(full.status, 'failed');
    assert.match(full.hint!, /VMSAN_SUBNET_POOL/);
    await sh('ip route delete 172.16.0.0/12; ip route delete 172.16.4.0/22');
    await sh(`ip route add 10.200.0.0/24 via ${world.router.address}`);
    assert.match((await checks()).get('networks')!.hint!, /VMSAN_TRANSIT_POOL/);
    await sh('ip route delete 10.200.0.0/24');
  });
});
