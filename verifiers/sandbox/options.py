"""How a sandbox's server is set up: settings, access, initdb arguments. No I/O but looking at memory and CPUs.

Invariant: no server of ours listens on TCP, loads a library, or logs a statement.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUPERUSER = "postgres"
PORT = 5432

# Both kinds of server: nothing but the socket, nothing loaded, and no statement (it holds values) in any message.
_ALWAYS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_directories": "../socket",  # from box/data; relative, since an absolute path may be too long
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}
# A restore happens once; what a crash would lose, the next drill makes again.
_THROWAWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "max_connections": "40",
    "max_locks_per_transaction": "1024",  # one transaction looks at every table, and Odoo has thousands with indexes
    "jit": "off",
}
# By the major version that first has them. A login event trigger would run at every connection, and can refuse it.
_THROWAWAY_SINCE = {17: {"event_triggers": "off"}}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server is set up.

    durable: a server that keeps its data (tests, the demo's live server): PostgreSQL's own safe settings, clean stop.
    settings: postgresql.conf entries over the defaults. hba: lines of pg_hba.conf, after the superuser's own on the
    socket; none given, everybody on the socket is let in. encoding, locale: of initdb; a locale that the programs
    lack fails there.
    """

    durable: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    hba: Sequence[str] = ()
    encoding: str = "UTF8"
    locale: str | None = None
    start_deadline_s: float = 120

    def postgresql_conf(self, major: int) -> str:
        """Return the text of postgresql.conf for a server of version `major`."""
        since = {} if self.durable else _THROWAWAY_SINCE
        newer = {name: value for first, added in since.items() if major >= first for name, value in added.items()}
        return "".join(f"{name} = '{_quoted(value)}'\n" for name, value in (newer | self._all()).items())

    def pg_hba_conf(self) -> str:
        """Return the text of pg_hba.conf."""
        lines = self.hba or ("local all all trust", "local replication all trust")
        return "".join(f"{line}\n" for line in (f"local all {SUPERUSER} trust", *lines))

    def initdb_arguments(self, major: int) -> list[str]:
        """Return what initdb of version `major` gets besides the folder."""
        arguments = ["--username", SUPERUSER, "--auth", "trust", "--encoding", self.encoding, "--data-checksums"]
        arguments += ["--no-instructions", *([] if self.durable else ["--no-sync"])]
        if self.locale is not None:
            return [*arguments, "--locale", self.locale]
        if major >= 17 and self.encoding == "UTF8":
            # Built into the server: the same order on every machine, and no collation library needed.
            arguments += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        return [*arguments, "--locale", "C"]

    def reported(self) -> dict[str, str]:
        """Return the settings that set measurements here apart from a production server's."""
        names = ("fsync", "full_page_writes", "synchronous_commit", "wal_level", "shared_buffers", "max_wal_size")
        written = self._all()
        return {name: written[name] for name in names if name in written}

    def _all(self) -> dict[str, str]:
        if self.durable:
            return _ALWAYS | dict(self.settings)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        cpus = len(os.sched_getaffinity(0))
        fitted = {
            "shared_buffers": f"{max(64, min(1024, memory // 8))}MB",
            "maintenance_work_mem": f"{max(64, min(512, memory // 16))}MB",
            "max_worker_processes": str(max(8, cpus)),
            "max_parallel_workers": str(cpus),
            "max_parallel_workers_per_gather": str(min(4, cpus)),
            "max_parallel_maintenance_workers": str(min(4, cpus)),
        }
        return _ALWAYS | _THROWAWAY | fitted | dict(self.settings)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
