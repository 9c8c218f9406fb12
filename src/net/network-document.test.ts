import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readPolicy } from '../policy/policy.ts';
import { parsePublishedPorts } from '../policy/published-ports.ts';
import { renderHostRuleset } from './host-ruleset.ts';
import { planHost, planVm } from './plan.ts';
import { renderVmCaps } from './vm-caps.ts';
import { renderVmCounters } from './vm-counters.ts';
import { renderVmFrames } from './vm-frames.ts';
import { renderVmRuleset } from './vm-ruleset.ts';

const POOLS = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
const host = planHost(POOLS);
const { policy } = readPolicy({
  allowedDomains: ['*.example.com', 'db.example.com:5432'],
  allowedCidrs: ['10.0.0.0/8'],
  deniedCidrs: ['10.20.0.0/16'],
});
const ports = parsePublishedPorts(['8080:80', '127.0.0.1:5353:53/udp']);
const vm = planVm(POOLS, 7, 'vm-0badcafe');

test('docs/network.md shows a VM’s ruleset as it is', () => {
  const rendered = renderVmFrames(vm) + renderVmRuleset(vm, host, policy, 3, [], 3, ports);
  assert.deepEqual(shownUnder('The ruleset of a VM'), lines(rendered));
});

test('docs/network.md shows a VM’s caps as they are', () => {
  const rendered = renderVmCaps(vm, host) + renderVmCounters(vm);
  assert.deepEqual(shownUnder('The caps of a VM'), lines(rendered));
});

test('docs/network.md shows the host’s table as it is', () => {
  const rendered = renderHostRuleset(host, {
    waiting: [],
    vms: [vm],
    gateUp: true,
    upstreams: [{ address: '192.0.2.53', port: 53 }],
    opened: [],
    published: ports.map((port) => ({ vm, port })),
    dialable: policy.allowed,
    lentLinks: ['eth0'],
  });
  assert.deepEqual(shownUnder("The host's table"), lines(rendered));
});

test('docs/network.md shows parts of the ruleset of a VM without a netns as they are', () => {
  const rendered = lines(renderVmRuleset(planVm(POOLS, 7, 'vm-0badcafe', false), host, policy, 3));
  const shown = shownUnder('Without a network namespace');
  assert.ok(shown.length > 20);
  let at = 0;
  for (const line of shown) {
    const found = rendered.indexOf(line, at);
    assert.notEqual(found, -1, `after line ${at} of the ruleset: ${line}`);
    at = found + 1;
  }
});

/** The lines of all `nft` blocks of a section. */
function shownUnder(heading: string): string[] {
  const document = readFileSync(new URL('../../docs/network.md', import.meta.url), 'utf8');
  const section = document.split('\n## ').find((text) => text.startsWith(heading));
  assert.ok(section !== undefined, `a section "${heading}"`);
  return [...section.matchAll(/```nft\n(.*?)```/gs)].flatMap((block) => lines(block[1] ?? ''));
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}
