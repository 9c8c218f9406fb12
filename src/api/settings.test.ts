import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Failure } from '../host/failure.ts';
import { loadSettings, settingsEnv } from './settings.ts';

describe('settings', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vmsan-settings-'));
  after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'config.json');
  const write = (text: string) => writeFileSync(file, text);

  test('the environment stands before the file, the file before the defaults', () => {
    write('{"accel": "tcg", "subnetPool": "172.20.0.0/16", "dns": ["192.0.2.53"]}');
    const settings = loadSettings({ VMSAN_SUBNET_POOL: '172.24.0.0/14', VMSAN_DNS: '' }, file);
    assert.partialDeepStrictEqual(settings, {
      runDir: '/run/vmsan',
      subnetPool: '172.24.0.0/14',
      dns: ['192.0.2.53'],
      accel: 'tcg',
    });
    assert.deepEqual(loadSettings(settingsEnv(settings), join(directory, 'none')), settings);
  });

  const WRONG: [name: string, value: string, says: string][] = [
    ['VMSAN_ACCEL', 'xen', 'VMSAN_ACCEL: must be auto, kvm or tcg'],
    ['VMSAN_RUN_DIR', 'run', 'VMSAN_RUN_DIR: must be an absolute path'],
    ['VMSAN_DNS', '192.0.2.53,resolver', 'VMSAN_DNS: must be an IPv4 address'],
    ['VMSAN_SUBNET_POOL', '172.16.0.1/16', 'VMSAN_SUBNET_POOL: must be an IPv4 network such as'],
    ['VMSAN_METRICS', '0.0.0.0:9464', 'VMSAN_METRICS: must be a loopback address with a port'],
    ['VMSAN_METRICS', '127.0.0.1', 'VMSAN_METRICS: must be a loopback address with a port'],
    ['VMSAN_METRICS', '127.0.0.1:70000', 'VMSAN_METRICS: must be a loopback address with a port'],
    ['VMSAN_READY_NETWORKS', 'some', 'VMSAN_READY_NETWORKS: must be a number from 0 to 64'],
  ];
  for (const [name, value, says] of WRONG) {
    test(`${name}=${value} is refused by its name`, () => {
      assertRefused({ [name]: value }, says);
    });
  }

  const WRONG_FILES: [text: string, says: string][] = [
    ['{"accel": 3}', 'accel: must be auto, kvm or tcg'],
    ['{"acel": "kvm"}', 'acel: is not a setting'],
    ['{"dns": "192.0.2.53"}', 'dns: must be a list of IPv4 addresses'],
    ['{"stateDir": 5}', 'stateDir: must be text'],
    ['[]', 'not a JSON object'],
    ['{', "Expected property name or '}' in JSON"],
  ];
  for (const [text, says] of WRONG_FILES) {
    test(`a file that says ${text} is refused by the key in it`, () => {
      write(text);
      assertRefused({}, `${file}: ${says}`);
    });
  }

  function assertRefused(env: NodeJS.ProcessEnv, says: string): void {
    assert.throws(
      () => loadSettings(env, file),
      (error) => {
        assert.ok(error instanceof Failure);
        assert.equal(error.code, 'bad_input');
        assert.ok(error.message.startsWith(says), error.message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  }
});
