/**
 * The schema, as the steps that lead to it. The first `user_version` of them have
 * been taken; none of those is ever changed.
 */
export const MIGRATIONS = [
  `CREATE TABLE vms (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL UNIQUE,
     state TEXT NOT NULL,
     slot INTEGER NOT NULL UNIQUE,
     vcpus INTEGER NOT NULL,
     memory_mib INTEGER NOT NULL,
     disk_bytes INTEGER NOT NULL,
     policy TEXT NOT NULL,
     generation INTEGER NOT NULL,
     accelerator TEXT NOT NULL,
     created_at_ms INTEGER NOT NULL,
     pid INTEGER,
     start_ticks TEXT
   ) STRICT;
   CREATE TABLE lent_sysctls (
     path TEXT PRIMARY KEY,
     before TEXT NOT NULL
   ) STRICT;
   CREATE TABLE facts (
     name TEXT PRIMARY KEY,
     value TEXT NOT NULL
   ) STRICT;`,
  // A policy was its base alone.
  `UPDATE vms SET policy = json_object(
     'base', policy ->> 'base',
     'default', iif(policy ->> 'base' = 'allow-all', 'allow', 'deny'),
     'allowed', json_array(), 'denied', json_array(), 'opened', json_array());`,
  // A policy said nothing of names.
  `UPDATE vms SET policy = json_set(policy, '$.domains', json_array());`,
  // Nothing was started again after a reboot.
  `ALTER TABLE vms ADD COLUMN autostart INTEGER NOT NULL DEFAULT 0;`,
  // Every VM had a network namespace of its own.
  `ALTER TABLE vms ADD COLUMN netns INTEGER NOT NULL DEFAULT 1;`,
  // Nothing limited what a VM sends and receives.
  `ALTER TABLE vms ADD COLUMN bandwidth_out INTEGER;
   ALTER TABLE vms ADD COLUMN bandwidth_in INTEGER;`,
  // No port was published.
  `ALTER TABLE vms ADD COLUMN ports TEXT NOT NULL DEFAULT '[]';`,
];
