-- The role that Guardian connects as: it reads what it judges and what it dumps, and can change nothing.
-- Run as a superuser in the database that the collector's DSN names (function grants hold for that database),
-- then set a password with \password guardian.
CREATE ROLE guardian LOGIN;

-- Settings, statistics, replication and sizes (collector); every table, sequence and schema (manifest, pg_dump).
GRANT pg_monitor, pg_read_all_data TO guardian;

-- pg_hba.conf as the server reads it; without this the HBA rules are reported as not readable.
GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO guardian;
GRANT SELECT ON pg_hba_file_rules TO guardian;

-- Only for the backup of an Odoo pair, in that database: the lock that holds off Odoo's attachment garbage collector.
--   GRANT UPDATE ON ir_attachment TO guardian;
-- Only where there are large objects: pg_read_all_data does not cover them, and pg_dump stops at the first. This lets the
-- role pass their permission checks (also for writing); or grant SELECT on each object instead.
--   ALTER ROLE guardian SET lo_compat_privileges = on;
-- Only where tables have row-level security: without it a dump would be half of them, so it is refused.
--   ALTER ROLE guardian BYPASSRLS;      -- and say who owns it: controls: {postgres.superusers: {params: {owned: ...}}}
