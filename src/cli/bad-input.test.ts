import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bundledProgram, type Program } from './testing/program.ts';

let vmsan: Program;
before(async () => {
  vmsan = await bundledProgram();
});
after(() => vmsan[Symbol.asyncDispose]());

// No daemon listens, and none could be started: a line that speaks of one means that the
// input was not judged first.
const BAD: [words: string, line: RegExp, code?: number][] = [
  ['lst', /unknown command 'lst'/],
  ['create --nme x', /unknown option '--nme'/],
  ['create web', /too many arguments/],
  ['create --name Web', /--name: "Web" cannot be a VM's name/],
  ['create --name vm-12345678', /--name: .*looks like an id/],
  ['create --vcpus 0', /--vcpus: "0" is not a number of vCPUs from 1 to 32/],
  ['create --memory 64m', /--memory: "64m" is not a memory size from 128m/],
  ['create --disk 10', /--disk: "10" is not a disk size/],
  ['create --network-policy custom', /"custom" needs a list/],
  ['create --network-policy open', /--network-policy: "open" is not a network policy/],
  ['create --network-policy', /argument missing/],
  [
    'create --allowed-domain *.com',
    /--allowed-domain: "\*\.com" would be every name .* public suffix/,
  ],
  ['create --allowed-domain github.com:22,80', /--allowed-domain: "80" is a port without a name/],
  ['create --allowed-domain 192.0.2.1', /--allowed-domain: "192\.0\.2\.1" is an address/],
  ['create --allowed-cidr 10.0.0.1/8', /--allowed-cidr: "10.0.0.1\/8" has bits set beyond its \/8/],
  ['create --denied-cidr lan', /--denied-cidr: "lan" is not an IPv4 network/],
  ['create --denied-cidr fd00::/8', /--denied-cidr: .* is IPv6/],
  ['create --allowed-cidr 10.0.0.0/8,', /--allowed-cidr: an entry is empty/],
  ['create --allowed-cidr 127.0.0.1', /127.0.0.1\/32 cannot be allowed: .*loopback/],
  ['network web --network-policy custom', /"custom" needs a list/],
  ['network web --denied-cidr 10.0.0.0/40', /--denied-cidr: "10.0.0.0\/40" is not/],
  ['network web --dry-run', /--dry-run needs a change/],
  ['create --publish-port 70000', /--publish-port: "70000" is no port that can be published/],
  ['create --publish-port 8080 --publish-port 8080:80', /--publish-port: port 8080\/tcp is/],
  ['network web --unpublish-port 0:80', /--unpublish-port: "0:80" is no port/],
  ['create --bandwidth 50mb', /--bandwidth: "50mb" is not a rate/],
  ['create --bandwidth 50', /--bandwidth: "50" is not a rate from 64kbit to 100gbit/],
  ['create --bandwidth-in 1tbit', /--bandwidth-in: "1tbit" is not a rate from 64kbit to 100gbit/],
  ['network web --allowed-domain a.*.example.com', /--allowed-domain: .* uses "\*"/],
  ['network web --bandwidth fast', /--bandwidth: "fast" is not a rate/],
  ['network web --bandwidth-in -1mbit', /--bandwidth-in: "-1mbit" is not a rate/],
  ['explain web', /needs a VM and a target/],
  ['explain example.com --allowed-domain *.com', /public suffix/],
  ['network web --network-policy none', /--network-policy: "none"/],
  ['network', /missing required argument 'vm'/],
  ['inspect', /missing required argument 'vm'/],
  ['rm --force', /missing required argument 'vm'/],
  ['daemon', /needs a command/],
  ['daemon begin', /unknown command 'begin'/],
  ['exec web', /no command to run was given/, 125],
  ['exec web --', /no command/, 125],
  ['exec -it web sh', /--tty/, 125],
  ['exec --workdir tmp web ls', /--workdir: "tmp" is not an absolute path/, 125],
  ['exec --env =x web ls', /--env: "=x" is not KEY=VALUE/, 125],
];

for (const [words, line, code = 2] of BAD) {
  test(`vmsan ${words}: one clear line, exit code ${code}`, async () => {
    const ended = await vmsan.run(words.split(' '));
    const [headline = '', hint, ...more] = ended.stderr.trimEnd().split('\n');
    assert.match(headline, /^vmsan: /);
    assert.match(headline, line);
    if (hint !== undefined) assert.match(hint, /^hint: ./);
    assert.deepEqual(more, []);
    assert.equal(ended.stdout, '');
    assert.equal(ended.code, code);
  });
}

test('a typing error comes with a suggestion', async () => {
  const { stderr } = await vmsan.run(['create', '--network-polcy', 'deny-all']);
  assert.match(stderr, /\nhint: did you mean --network-policy\?\n$/);
});

test('with --json an error is one JSON object on stderr', async () => {
  const ended = await vmsan.run(['create', '--vcpus', '99', '--json']);
  const { error } = JSON.parse(ended.stderr) as { error: Record<string, unknown> };
  assert.equal(error['code'], 'bad_input');
  assert.match(String(error['message']), /--vcpus: "99"/);
  assert.equal(ended.code, 2);
});

test("a guest's own --json is not ours", async () => {
  const ended = await vmsan.run(['exec', '-it', 'web', 'ls', '--json']);
  assert.match(ended.stderr, /^vmsan: --tty/);
});

test('settings that are wrong are bad input', async () => {
  const ended = await vmsan.run(['list'], { env: { VMSAN_ACCEL: 'warp' } });
  assert.match(ended.stderr, /^vmsan: VMSAN_ACCEL: /);
  assert.equal(ended.code, 2);
});

test('help and version are results: on stdout, exit code 0', async () => {
  const verbs = [
    'create',
    'list',
    'ls',
    'inspect',
    'exec',
    'network',
    'top',
    'metrics',
    'explain',
    'rm',
    'doctor',
    'daemon',
  ];
  const asked = [[], ['--help'], ['help', 'exec'], ...verbs.map((verb) => [verb, '--help'])];
  for (const argv of asked) {
    const ended = await vmsan.run(argv);
    assert.match(ended.stdout, /^Usage: vmsan/, argv.join(' '));
    assert.equal(ended.stderr, '');
    assert.equal(ended.code, 0);
  }
  assert.equal((await vmsan.run(['--version'])).stdout, 'vmsan 0.0.0-test (a-test)\n');
});
