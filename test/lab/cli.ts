/**
 * `npm run lab -- <command …>`: runs a command on the host of a persistent
 * lab, which is made when it is not there. `LAB` names another than "default".
 */
import { spawn } from 'node:child_process';
import { messageOf } from '../../src/host/failure.ts';
import { closed } from './command.ts';
import { Lab } from './lab.ts';
import { cleanEnvironment } from './machine.ts';

const NAME = process.env.LAB ?? 'default';
const USAGE = `npm run lab                    a shell on the lab's host
npm run lab -- COMMAND …       a command there, such as: vmsan create
npm run lab -- --status        whether the lab is up
npm run lab -- --down          end it, with everything in it

There, $LAB_CA is the CA that the lab's HTTPS servers have their certificate from.
LAB=NAME npm run lab …         a lab of its own
`;

async function main(args: readonly string[]): Promise<number> {
  switch (args[0]) {
    case '--help':
      process.stdout.write(USAGE);
      return 0;
    case '--status':
    case 'status':
      return await status();
    case '--down':
    case 'down':
      await Lab.attach(NAME)?.stop();
      return 0;
    case undefined:
      return await enter(await defaultLab(), ['bash', '--norc']);
    default:
      return await enter(await defaultLab(), args);
  }
}

async function status(): Promise<number> {
  const lab = Lab.attach(NAME);
  const up = (await lab?.works()) ?? false;
  process.stdout.write(up ? `up: ${lab!.paths.dir}, host is process ${lab!.host.pid}\n` : 'down\n');
  return up ? 0 : 1;
}

async function defaultLab(): Promise<Lab> {
  const running = Lab.attach(NAME);
  if (running !== undefined) {
    if (await running.works()) return running;
    process.stderr.write('lab: part of it was killed, starting it anew\n');
    await running.stop();
  }
  const lab = await Lab.start({ name: NAME, persistent: true });
  await lab.assertNoWayOut();
  process.stderr.write('lab: up; `npm run lab -- --down` ends it\n');
  return lab;
}

/** Runs a command on the lab's host with this process's stdio and terminal. */
async function enter(lab: Lab, argv: readonly string[]): Promise<number> {
  const [file, ...rest] = lab.host.enter(argv, process.env.INIT_CWD ?? process.cwd());
  const env = { PS1: 'lab:\\w# ', HISTFILE: '', LAB_CA: lab.caFile };
  const child = spawn(file!, rest, { env: cleanEnvironment(env), stdio: 'inherit' });
  // Ctrl-C reaches the command itself: it is in the terminal's foreground group too.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  return await closed(child);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`lab: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
