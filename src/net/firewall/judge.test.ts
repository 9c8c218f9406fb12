import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { planHost } from '../plan.ts';
import { readIptables } from './iptables-rules.ts';
import { judge } from './judge.ts';
import { readNftTable, type NftListing } from './nft-rules.ts';
import { kindsOf } from './packets.ts';

const host = planHost({ subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' });

/** What each kind meets, such as `outward: refused at FORWARD 3`; what is accepted is left out. */
function meets(rules: string, policies = 'INPUT DROP, FORWARD DROP, OUTPUT ACCEPT'): string[] {
  const chains = policies.split(', ').map((policy) => `:${policy} [0:0]`);
  const text = ['*filter', ...chains, ...rules.trim().split('\n'), 'COMMIT', ''].join('\n');
  const table = readIptables('iptables-nft', text);
  assert.ok(table !== null);
  return judgementsOf(table);
}

function judgementsOf(table: NonNullable<ReturnType<typeof readIptables>>): string[] {
  return table.base.flatMap((base) =>
    kindsOf(host)
      .filter(({ hook }) => hook === base.hook)
      .flatMap((kind) => {
        const found = judge(table, base, kind);
        if (found.verdict === 'accepted') return [];
        if (found.verdict === 'confined') return [`${kind.name}: confined to ${found.link}`];
        return [`${kind.name}: refused at ${found.chain} ${found.at ?? 'end'}`];
      }),
  );
}

const FORWARDED = ['outward', 'inward', 'published'];
const refusedAt = (place: string, kinds = FORWARDED) =>
  kinds.map((kind) => `${kind}: refused at ${place}`);

describe('iptables', () => {
  const FORWARD = 'INPUT ACCEPT, FORWARD DROP, OUTPUT ACCEPT';

  test('policies', () => {
    assert.deepEqual(meets(''), ['asking: refused at INPUT end', ...refusedAt('FORWARD end')]);
    assert.deepEqual(meets('', 'INPUT ACCEPT, FORWARD ACCEPT, OUTPUT DROP'), [
      'answering: refused at OUTPUT end',
    ]);
    assert.deepEqual(meets('', 'INPUT ACCEPT, FORWARD ACCEPT, OUTPUT ACCEPT'), []);
  });

  test('a last rule for all is where it ends; those for some are passed by', () => {
    const rules = `
-A FORWARD -s 10.0.0.0/8 -j DROP
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -p tcp -m tcp --dport 25 -j DROP
-A FORWARD -m limit --limit 3/min -j LOG --log-prefix "-j ACCEPT "
-A FORWARD -j REJECT --reject-with icmp-host-prohibited`;
    assert.deepEqual(meets(rules, FORWARD), refusedAt('FORWARD 5'));
  });

  test('states, links and addresses are understood', () => {
    const of = (rule: string) => meets(`-A FORWARD ${rule} -j ACCEPT`, FORWARD);
    const but = (...accepted: string[]) =>
      refusedAt(
        'FORWARD end',
        FORWARDED.filter((kind) => !accepted.includes(kind)),
      );
    assert.deepEqual(of('-m conntrack --ctstate RELATED,ESTABLISHED'), but('inward'));
    assert.deepEqual(of('-m state --state NEW'), but('outward', 'published'));
    assert.deepEqual(of('-m conntrack --ctstate DNAT'), but('published'));
    assert.deepEqual(of('-m conntrack ! --ctstate NEW'), but('inward'));
    assert.deepEqual(of('-i vm-+'), but('outward'));
    assert.deepEqual(of('! -i eth0'), but('outward'));
    assert.deepEqual(of('-i vm-0badcafe'), but());
    assert.deepEqual(of('-s 172.16.0.0/12'), but('outward'));
    assert.deepEqual(of('-s 172.16.0.0/24'), but());
    assert.deepEqual(of('-d 172.16.0.0/12'), but('inward', 'published'));
    assert.deepEqual(of('-m mark --mark 0x1'), but());
    assert.deepEqual(of('-m mark ! --mark 0xca6c'), []);
    assert.deepEqual(of('-m comment --comment "-i vm-+ -j ACCEPT" -p udp'), but());
  });

  test('chains: in one that has no other use, else before its use', () => {
    const chain = `
:REFUSE - [0:0]
-A REFUSE -m limit --limit 1/sec -j LOG
-A REFUSE -j DROP`;
    assert.deepEqual(meets(`${chain}\n-A FORWARD -j REFUSE`, FORWARD), refusedAt('REFUSE 2'));
    const shared = `${chain}\n-A FORWARD -s 10.0.0.0/8 -j REFUSE\n-A FORWARD -g REFUSE`;
    assert.deepEqual(meets(shared, FORWARD), refusedAt('FORWARD 2'));
  });

  test('a chain that some return from is not the end', () => {
    const rules = `
:SOME - [0:0]
-A SOME -m set --match-set friends src -j RETURN
-A SOME -j DROP
-A FORWARD -j SOME
-A FORWARD -j REJECT`;
    assert.deepEqual(meets(rules, FORWARD), refusedAt('FORWARD 2'));
  });

  test('chains that lead to each other are followed to no end', () => {
    const rules = `:A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -j A\n-A FORWARD -j A`;
    assert.deepEqual(meets(rules, FORWARD), refusedAt('FORWARD end'));
  });

  test('who says by which link all may leave is not overruled', () => {
    const inward = refusedAt('FORWARD end', ['inward', 'published']);
    const confined = ['outward: confined to tun0', ...inward];
    assert.deepEqual(meets('-A FORWARD -o tun0 -j ACCEPT', FORWARD), confined);
    assert.deepEqual(meets('-A FORWARD -i vm-+ -o tun0 -j ACCEPT', FORWARD), confined);
    const some = '-A FORWARD -s 192.168.122.0/24 -o tun0 -j ACCEPT';
    assert.deepEqual(meets(some, FORWARD), refusedAt('FORWARD end'));
    const drop = '-A FORWARD ! -o tun0 -j DROP\n-A FORWARD -j ACCEPT';
    // Replies do not leave by it.
    assert.deepEqual(meets(drop, FORWARD), refusedAt('FORWARD 1', ['inward', 'published']));
  });

  test('a kill switch on what the host sends refuses answers', () => {
    const rule =
      '-A OUTPUT ! -o wg0 -m mark ! --mark 0xca6c -m addrtype ! --dst-type LOCAL -j REJECT';
    assert.deepEqual(meets(rule, 'INPUT ACCEPT, FORWARD ACCEPT, OUTPUT ACCEPT'), [
      'answering: refused at OUTPUT 1',
    ]);
  });

  test('no filter table, or one that iptables cannot read', () => {
    assert.equal(readIptables('iptables-nft', '*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n'), null);
    const words = "# Table `filter' is incompatible, use 'nft' tool.\n";
    assert.equal(readIptables('iptables-nft', words), null);
  });
});

describe('nftables', () => {
  type Expression = Record<string, unknown>;

  /** A table with one chain that forwards, and `refuse`. */
  const meetsNft = (policy: 'accept' | 'drop', ...rules: Expression[][]): string[] => {
    const of = { family: 'inet', table: 'filter' };
    const listing: NftListing = {
      nftables: [
        { table: { family: 'inet', name: 'filter' } },
        { chain: { ...of, name: 'forward', type: 'filter', hook: 'forward', policy } },
        { chain: { ...of, name: 'refuse' } },
        ...rules.map((expr, index) => ({
          rule: { ...of, chain: 'forward', handle: 10 + index, expr },
        })),
        { rule: { ...of, chain: 'refuse', handle: 99, expr: [{ reject: { type: 'icmpx' } }] } },
      ],
    };
    return judgementsOf(readNftTable('inet', 'filter', listing));
  };
  const match = (left: object, right: unknown, op = '==') => ({ match: { op, left, right } });
  const meta = (key: string) => ({ meta: { key } });
  const accept = { accept: null };

  test('policies and verdicts', () => {
    assert.deepEqual(meetsNft('drop'), refusedAt('forward end'));
    assert.deepEqual(meetsNft('accept'), []);
    assert.deepEqual(meetsNft('accept', [{ drop: null }]), refusedAt('forward 10'));
    assert.deepEqual(meetsNft('drop', [{ counter: null }, accept]), []);
    assert.deepEqual(
      meetsNft('accept', [{ counter: null }], [{ goto: { target: 'refuse' } }]),
      refusedAt('refuse 99'),
    );
    assert.deepEqual(meetsNft('drop', [{ queue: null }]), []);
  });

  test('matches', () => {
    const state = (right: unknown, op = '==') => match({ ct: { key: 'state' } }, right, op);
    const established = state({ set: ['established', 'related'] });
    const rest = refusedAt('forward end', ['outward', 'published']);
    assert.deepEqual(meetsNft('drop', [established, accept]), rest);
    assert.deepEqual(meetsNft('drop', [state(['established', 'related'], 'in'), accept]), rest);
    const link = match(meta('iifname'), { set: ['lo', 'vm-*'] });
    assert.deepEqual(
      meetsNft('drop', [link, accept]),
      refusedAt('forward end', FORWARDED.slice(1)),
    );
    const source = (right: unknown) =>
      match({ payload: { protocol: 'ip', field: 'saddr' } }, right);
    const wide = source({ prefix: { addr: '172.16.0.0', len: 12 } });
    assert.deepEqual(
      meetsNft('drop', [wide, accept]),
      refusedAt('forward end', FORWARDED.slice(1)),
    );
    for (const unclear of [source('@friends'), source({ range: ['172.16.0.1', '172.16.9.9'] })]) {
      assert.deepEqual(meetsNft('drop', [unclear, accept]), refusedAt('forward end'));
    }
    const v6 = match(meta('nfproto'), 'ipv6');
    assert.deepEqual(meetsNft('accept', [v6, { drop: null }]), []);
    assert.deepEqual(meetsNft('accept', [match(meta('l4proto'), 'tcp'), { drop: null }]), []);
    const toLink = match(meta('oifname'), 'tun0');
    assert.equal(meetsNft('drop', [toLink, accept])[0], 'outward: confined to tun0');
  });

  test('a map of verdicts, a limit and what nobody knows decide for some', () => {
    const vmap = { vmap: { key: { ct: { key: 'state' } }, data: { set: [] } } };
    assert.deepEqual(meetsNft('accept', [vmap]), []);
    assert.deepEqual(meetsNft('accept', [{ limit: { rate: 1 } }, { drop: null }]), []);
    assert.deepEqual(meetsNft('accept', [{ newer: {} }, { drop: null }]), []);
  });
});
