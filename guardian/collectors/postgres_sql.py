"""What is asked of a PostgreSQL server, 14 and newer. Text only.

Every statement runs in a read-only transaction with `search_path = pg_catalog`, `TimeZone = UTC`. A `{...}` is a place
where versions differ; what stands there is below the statement.
"""

from __future__ import annotations

# Qualified, since the search path is not yet ours: a database may hold functions called like the system's.
PREPARE = """
SELECT pg_catalog.set_config('search_path', 'pg_catalog', true),
       pg_catalog.set_config('statement_timeout', '30s', true),
       pg_catalog.set_config('lock_timeout', '5s', true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', '5min', true),
       pg_catalog.set_config('TimeZone', 'UTC', true),
       pg_catalog.set_config('DateStyle', 'ISO', true)
"""

SERVER = """
SELECT split_part(current_setting('server_version'), ' ', 1) AS "version",
       current_setting('server_version_num')::int AS "versionNumber",
       pg_is_in_recovery() AS "inRecovery"
"""

SYSTEM_IDENTIFIER = "SELECT system_identifier::text FROM pg_control_system()"

# What this session itself set says nothing of the server.
SETTINGS = """
SELECT name, CASE WHEN source = 'session' THEN reset_val ELSE setting END FROM pg_settings
ORDER BY name COLLATE "C"
"""

OVERRIDES = """
SELECT d.datname, r.rolname, s.setconfig
FROM pg_db_role_setting s
LEFT JOIN pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_roles r ON r.oid = s.setrole
ORDER BY d.datname COLLATE "C" NULLS FIRST, r.rolname COLLATE "C" NULLS FIRST
"""

ARCHIVER = """
SELECT archived_count AS "archivedCount", last_archived_wal AS "lastArchivedWal",
       last_archived_time AS "lastArchivedAt",
       CASE WHEN last_archived_time <= %(now)s + interval '5min'  -- two clocks may differ so much
            THEN greatest(0, extract(epoch FROM %(now)s - last_archived_time))::bigint END AS "lastArchivedAgeSeconds",
       failed_count AS "failedCount", last_failed_time AS "lastFailedAt"
FROM pg_stat_archiver
"""

AVAILABLE_EXTENSIONS = 'SELECT name FROM pg_available_extensions ORDER BY name COLLATE "C"'

EXTENSIONS = 'SELECT extname, extversion FROM pg_extension ORDER BY extname COLLATE "C"'

# canBecome: whom SET ROLE reaches. Since 16 a membership allows that only if granted WITH SET, along the whole chain;
# before, every membership does. A superuser may become anyone; that is not spelled out.
ROLES = """
WITH RECURSIVE edge AS (
    SELECT DISTINCT member, roleid FROM pg_auth_members WHERE {settable}
), reach(member, roleid) AS (
    SELECT member, roleid FROM edge
    UNION
    SELECT reach.member, edge.roleid FROM reach JOIN edge ON edge.member = reach.roleid
)
SELECT r.rolname AS "name", r.rolsuper AS "superuser", r.rolcreaterole AS "createRole",
       r.rolcreatedb AS "createDatabase", r.rolreplication AS "replication", r.rolbypassrls AS "bypassRls",
       r.rolcanlogin AS "canLogin", r.rolinherit AS "inherit", r.rolconnlimit AS "connectionLimit",
       CASE WHEN isfinite(r.rolvaliduntil) THEN to_char(r.rolvaliduntil, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
            ELSE r.rolvaliduntil::text END AS "validUntil",
       ARRAY(SELECT DISTINCT g.rolname::text COLLATE "C" FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
             WHERE m.member = r.oid ORDER BY 1) AS "memberOf",
       ARRAY(SELECT g.rolname::text COLLATE "C" FROM reach JOIN pg_roles g ON g.oid = reach.roleid
             WHERE reach.member = r.oid AND g.oid <> r.oid ORDER BY 1) AS "canBecome",
       starts_with(r.rolname::text, 'pg_') AS "predefined"
FROM pg_roles r
ORDER BY r.rolname COLLATE "C"
"""
SETTABLE_16 = "set_option"
SETTABLE_14 = "true"

MAY_READ_HASHES = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"

# The hash stays where it is; only its kind is asked for.
HASH_KINDS = """
SELECT rolname, CASE WHEN rolpassword IS NULL THEN 'none'
                     WHEN starts_with(rolpassword, 'SCRAM-SHA-256$') THEN 'scram-sha-256'
                     WHEN starts_with(rolpassword, 'md5') THEN 'md5'
                     ELSE 'unknown' END
FROM pg_authid
"""

HBA = """
SELECT {file} AS "file", line_number AS "line", type AS "type", database AS "databases", user_name AS "users",
       address AS "address", netmask AS "netmask", auth_method AS "method", options AS "options", error AS "error"
FROM pg_hba_file_rules
ORDER BY 1, 2
"""
HBA_FILE_16 = "file_name"
HBA_FILE_14 = "current_setting('hba_file', true)"

# So that whoever judges the rules knows whether all of them are there.
HBA_COUNT = "SELECT count(*) FROM pg_hba_file_rules"

DATABASES = """
SELECT d.datname AS "name", pg_get_userbyid(d.datdba) AS "owner", pg_encoding_to_char(d.encoding) AS "encoding",
       d.datcollate AS "collate", d.datctype AS "ctype", {collation},
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') OR has_database_privilege(d.oid, 'CONNECT')
            THEN pg_database_size(d.oid) END AS "sizeBytes",
       d.datallowconn AS "allowConnections", d.datistemplate AS "isTemplate", d.datconnlimit AS "connectionLimit",
       age(d.datfrozenxid) AS "xidAge", mxid_age(d.datminmxid) AS "multixactAge",
       s.checksum_failures AS "checksumFailures"
FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid
ORDER BY d.datname COLLATE "C"
"""
COLLATION_15 = """
       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END AS "localeProvider",
       d.datcollversion AS "collationVersion",
       pg_database_collation_actual_version(d.oid) AS "actualCollationVersion"
"""
COLLATION_14 = """
       'libc' AS "localeProvider", NULL AS "collationVersion", NULL AS "actualCollationVersion"
"""

# Others' rows show only their existence to a role without pg_read_all_stats.
MAY_READ_REPLICAS = "SELECT pg_has_role('pg_read_all_stats', 'USAGE') OR NOT EXISTS (SELECT FROM pg_stat_replication)"

REPLICAS = """
SELECT application_name AS "applicationName", host(client_addr) AS "clientAddress", state AS "state",
       sync_state AS "syncState",
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
                       replay_lsn)::bigint AS "replayLagBytes",
       extract(epoch FROM replay_lag)::bigint AS "replayLagSeconds"
FROM pg_stat_replication
ORDER BY application_name COLLATE "C", client_addr, client_port
"""
