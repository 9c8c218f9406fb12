import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kernelCommandLine } from './kernel-command-line.ts';

const words = (line: string) => line.split(' ');

test('an emulated guest is told the rate of the time-stamp counter', () => {
  const line = kernelCommandLine({ accelerator: 'tcg', tscKhz: 2_596_136 });
  assert.ok(words(line).includes('tsc_early_khz=2596136'));
});

test('a guest on KVM keeps its mitigations and finds the rate out by itself', () => {
  const line = kernelCommandLine({ accelerator: 'kvm', tscKhz: 2_596_136 });
  assert.doesNotMatch(line, /tsc_early_khz|mitigations|norandmaps/);
  assert.equal(line, kernelCommandLine({ accelerator: 'kvm' }));
});

test('every word is the kernel’s: others would become arguments of PID 1', () => {
  for (const word of words(kernelCommandLine({ accelerator: 'tcg', tscKhz: null }))) {
    assert.match(word, /^(quiet|norandmaps|noreplace-smp|[a-z0-9_.]+=\S+)$/);
  }
});
