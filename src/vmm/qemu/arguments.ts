import { statSync } from 'node:fs';
import { prlimitArgv } from '../../host/rlimits.ts';
import type { MachineSpec } from '../vmm.ts';
import { rlimitsOf, TRANSLATION_MIB } from './needs.ts';

/** The descriptors that QEMU inherits, after stdin, stdout and stderr. */
export const FDS = { qmp: 3, agent: 4, base: 5, disk: 6, tap: 7 } as const;

/** What the guest's console may leave behind: the end of it, in QEMU's memory. */
export const CONSOLE_BYTES = 65_536;

/** QEMU by the name Debian gives it on this architecture. */
export const QEMU_PROGRAM = `qemu-system-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`;

/**
 * The whole command line, confinement first: a network namespace with nothing
 * in it, then resource limits, then the VM's own uid without capabilities, then
 * QEMU. Each replaces the one before it, so the process id stays the same.
 *
 * Disks, TAP and sockets come as descriptors: QEMU opens no file of ours but
 * the kernel and the initramfs, which are the same for all.
 */
export function qemuArgv(spec: MachineSpec): string[] {
  return [...confinement(spec), QEMU_PROGRAM, ...machine(spec), ...devices(spec)];
}

function confinement({ uid, accelerator, disk }: MachineSpec): string[] {
  return [
    ...['unshare', '--net', '--'],
    ...prlimitArgv(rlimitsOf({ diskBytes: statSync(disk).size })),
    ...['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--no-new-privs'],
    accelerator === 'kvm' ? groupsForKvm() : '--clear-groups',
    ...['--inh-caps=-all', '--bounding-set=-all', '--'],
  ];
}

/** The group that /dev/kvm is for, as Debian's udev rules set it; QEMU 7.2 cannot be handed it open. */
function groupsForKvm(): string {
  const { gid, mode } = statSync('/dev/kvm');
  return gid !== 0 && (mode & 0o060) === 0o060 ? `--groups=${gid}` : '--clear-groups';
}

function machine(spec: MachineSpec): string[] {
  const kvm = spec.accelerator === 'kvm';
  return [
    ...['-name', spec.id, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    '-sandbox',
    'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    '-machine',
    // rtc=off costs two seconds of boot and pit=off without it hangs (QEMU 7.2, Linux 6.1).
    `microvm,acpi=on,pit=on,pic=on,rtc=on,usb=off,graphics=off,isa-serial=on,x-option-roms=off,auto-kernel-cmdline=off`,
    // qemu64 lacks x86-64-v2, without which many of today's programs do not start.
    // Without -v1 it is the variant with IBRS, which emulation does not have and complains about.
    ...['-accel', kvm ? 'kvm' : `tcg,tb-size=${TRANSLATION_MIB}`],
    ...['-cpu', kvm ? 'host' : 'Westmere-v1'],
    // With acpi=on QEMU would take SeaBIOS, which emulates 200 ms longer.
    ...['-bios', 'qboot.rom'],
    ...['-smp', String(spec.vcpus), '-m', String(spec.memoryMib)],
    ...['-kernel', spec.kernel, '-initrd', spec.initramfs, '-append', spec.kernelCommandLine],
  ];
}

function devices(spec: MachineSpec): string[] {
  const { network } = spec;
  return [
    ...drive('base', FDS.base, 'read-only=on'),
    // On a full host the VM is paused, instead of losing what it wrote.
    ...drive('disk', FDS.disk, 'discard=unmap', 'werror=stop'),
    ...['-device', 'virtio-rng-device'],
    ...(network === null
      ? ['-nic', 'none']
      : [
          ...['-netdev', `tap,id=net0,fd=${FDS.tap},vhost=off`],

          ...['-device', `virtio-net-device,netdev=net0,mac=${network.mac}`],
        ]),
    ...['-device', 'virtio-serial-device'],
    ...['-chardev', `socket,id=agent,fd=${FDS.agent},server=on,wait=off`],
    ...['-device', 'virtserialport,chardev=agent,name=vmsan.agent'],
    ...['-chardev', `ringbuf,id=console,size=${CONSOLE_BYTES}`, '-serial', 'chardev:console'],
    ...['-chardev', `socket,id=qmp,fd=${FDS.qmp},server=on,wait=off`],
    ...['-mon', 'chardev=qmp,mode=control'],
  ];
}

/** The guest finds a disk by its serial number. */
function drive(name: string, fd: number, options: string, deviceOptions = ''): string[] {
  const set = fd;
  const device = `virtio-blk-device,drive=${name},serial=${name}`;
  return [
    ...['-add-fd', `fd=${fd},set=${set}`],
    ...[
      '-blockdev',
      `driver=raw,node-name=${name},${options},file.driver=file,file.filename=/dev/fdset/${set}`,
    ],
    ...['-device', deviceOptions === '' ? device : `${device},${deviceOptions}`],
  ];
}
