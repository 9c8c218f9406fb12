import type { MessageInitShape } from '@bufbuild/protobuf';
import { Check_Status, type CheckSchema } from '../gen/vmsan/v1/vmsan_pb.js';
import { messageOf } from '../host/failure.ts';

export type Check = MessageInitShape<typeof CheckSchema>;

/** What a check found; a hint is the next command to type. */
export type Found = Pick<Check, 'status' | 'detail' | 'hint'>;

export const ok = (detail: string): Found => ({ status: Check_Status.OK, detail });

export const note = (detail: string, hint: string): Found => ({
  status: Check_Status.NOTE,
  detail,
  hint,
});

export const failed = (detail: string, hint: string): Found => ({
  status: Check_Status.FAILED,
  detail,
  hint,
});

/** Runs one check, which then stands for itself: what it throws is what it found. */
export async function check(name: string, find: () => Found | Promise<Found>): Promise<Check> {
  try {
    return { name, ...(await find()) };
  } catch (error) {
    return { name, ...failed(messageOf(error), '') };
  }
}
