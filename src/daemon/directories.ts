import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { directoriesOf, type Context } from './context.ts';

/**
 * A VM's directories are root's, and nobody else may even pass through them:
 * its QEMU is handed its disk and sockets open. If they were its uid's, one
 * that its guest took over could put a link in the place of its disk, which
 * the next start would open as root.
 */

export function makeRunDirectory(context: Context, id: string): void {
  makePrivate(directoriesOf(context, id).run);
}

export function makeStateDirectory(context: Context, id: string): void {
  makePrivate(directoriesOf(context, id).state);
}

export function removeRunDirectory(context: Context, id: string): void {
  rmSync(directoriesOf(context, id).run, { recursive: true, force: true });
}

export function removeStateDirectory(context: Context, id: string): void {
  rmSync(directoriesOf(context, id).state, { recursive: true, force: true });
}

function makePrivate(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
  chownSync(path, 0, 0);
}
