"""What PostgreSQL and pg_restore say when a restore goes wrong: the texts that are recognised, and what each means.

Invariant: of a recognised text only what stands at `<name>` is kept, a place where PostgreSQL puts the name of an
object; `<...>` stands for anything and is dropped. Of any other text only words of the vocabulary here are kept.
No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Known:
    """One recognised text. sandbox: its cause is what the sandbox lacks. fatal: the restore cannot go on after it."""

    template: str
    pattern: re.Pattern[str]
    sqlstate: str | None
    sandbox: bool = False
    fatal: bool = False
    harmless: bool = False


# SQLSTATE (or -), marks (s: sandbox, f: fatal, h: harmless), text. The first that matches the whole text counts.
_SERVER = """
42P06 h  schema "public" already exists
42704 s  unrecognized configuration parameter "<name>"
0A000 s  extension "<name>" is not available
58P01 s  could not open extension control file <...>
58P01 s  could not access file "<...>": No such file or directory
22023 s  extension "<name>" has no installation script nor update path for version <...>
55000 s  <name> must be loaded via shared_preload_libraries
55000 s  "<name>" must be loaded via "shared_preload_libraries"
42704 s  collation "<name>" for encoding "<...>" does not exist
22023 s  could not create locale "<...>": No such file or directory
0A000 s  ICU is not supported in this build
0A000 s  unsupported XML feature
0A000 s  compression method lz4 not supported
42704 -  role "<name>" does not exist
42704 -  tablespace "<name>" does not exist
22023 -  invalid value for parameter "default_tablespace": "<name>"
42704 -  type "<name>" does not exist
42704 -  language "<name>" does not exist
42704 -  access method "<name>" does not exist
42704 -  operator class "<name>" does not exist for access method "<...>"
42704 -  data type <name> has no default operator class for access method "<...>"
42704 -  constraint "<name>" for table "<...>" does not exist
42704 -  collation "<name>" does not exist
42704 -  text search configuration "<name>" does not exist
42704 -  extension "<name>" does not exist
42704 -  server "<name>" does not exist
42704 -  statistics object "<name>" does not exist
42704 -  large object <...> does not exist
42710 -  extension "<name>" already exists
42710 -  type "<name>" already exists
42710 -  trigger "<name>" for relation "<...>" already exists
42710 -  constraint "<name>" for relation "<...>" already exists
42710 -  collation "<name>" already exists
42710 -  collation "<name>" for encoding "<...>" already exists
42710 -  relation "<name>" is already member of publication "<...>"
42710 -  cast from type <...> to type <...> already exists
42710 -  policy "<name>" for table "<...>" already exists
42710 -  role "<name>" already exists
42710 -  large object <...> already exists
42723 -  function "<name>" already exists with same argument types
42P06 -  schema "<name>" already exists
42P07 -  relation "<name>" already exists
42P01 -  relation "<name>" does not exist
42P01 -  missing FROM-clause entry for table "<...>"
42P16 -  multiple primary keys for table "<name>" are not allowed
42883 -  function <name>(<...>) does not exist
42883 -  operator does not exist: <...>
42883 -  could not identify <...> operator for type <name>
42703 -  column "<...>" of relation "<name>" does not exist
42703 -  column "<name>" does not exist
42703 -  column "<name>" named in key does not exist
42703 -  column "<name>" referenced in foreign key constraint does not exist
42703 -  column <name> does not exist
42701 -  column "<...>" of relation "<name>" already exists
42P17 -  functions in index expression must be marked IMMUTABLE
42P17 -  functions in index predicate must be marked IMMUTABLE
42P22 -  could not determine which collation to use for <...>
42809 -  "<name>" is already a partition
42830 -  there is no unique constraint matching given keys for referenced table "<name>"
42501 -  permission denied for <...> <name>
42501 -  permission denied to <...>
42501 -  must be owner of <...> <name>
42501 -  must be member of role "<name>"
42501 -  must be able to SET ROLE "<name>"
42601 -  syntax error at or near "<...>"
42601 -  syntax error at end of input
3F000 -  schema "<name>" does not exist
3F000 -  no schema has been selected to create in
23502 -  null value in column "<...>" of relation "<name>" violates not-null constraint
23502 -  column "<...>" of relation "<name>" contains null values
23503 -  insert or update on table "<...>" violates foreign key constraint "<name>"
23505 -  could not create unique index "<name>"
23505 -  duplicate key value violates unique constraint "<name>"
23514 -  check constraint "<name>" of relation "<...>" is violated by some row
23514 -  new row for relation "<...>" violates check constraint "<name>"
23514 -  no partition of relation "<name>" found for row
23514 -  partition constraint of relation "<name>" is violated by some row
23514 -  new row for relation "<name>" violates partition constraint
23514 -  value for domain <name> violates check constraint "<...>"
23P01 -  conflicting key value violates exclusion constraint "<name>"
23P01 -  could not create exclusion constraint "<name>"
22P02 -  invalid input syntax for type <name>: <...>
22P02 -  invalid input syntax for type <name>
22P02 -  invalid input value for enum <name>: <...>
22P02 -  malformed <...> literal: <...>
22P04 -  missing data for column "<name>"
22P04 -  extra data after last expected column
22P04 -  unexpected EOF on client connection with an open transaction
22P04 -  end-of-copy marker <...>
22P04 -  literal <...> found in data
22003 -  value "<...>" is out of range for type <name>
22003 -  numeric field overflow
22007 -  invalid input syntax for type <name>: <...>
22008 -  date/time field value out of range: <...>
22001 -  value too long for type <name>(<...>)
22021 -  invalid byte sequence for encoding "<name>": <...>
22P05 -  character with byte sequence <...> in encoding "<...>" has no equivalent in encoding "<name>"
54000 -  index row size <...> exceeds <...> maximum <...> for index "<name>"
54000 -  index row requires <...> bytes, maximum size is <...>
55000 -  materialized view "<name>" has not been populated
55000 -  cannot refresh materialized view "<name>" concurrently
0A000 -  cannot <...> because it is a partitioned table
2BP01 -  cannot drop <...> because other objects depend on it
40P01 s  deadlock detected
53100 sf could not extend file "<...>": No space left on device
53100 sf could not extend file "<...>": wrote only <...> bytes at block <...>
53100 sf could not write to file "<...>": No space left on device
53100 sf could not write file "<...>": No space left on device
53200 s  out of shared memory
53200 s  out of memory
57014 s  canceling statement due to statement timeout
57014 s  canceling statement due to user request
57P01 sf terminating connection due to administrator command
57P02 sf terminating connection because of crash of another server process
57P03 sf the database system is shutting down
57P03 sf the database system is starting up
"""
_PROGRAM = r"""
-     f  could not read from input file: end of file
-     f  could not read from input file: <...>
-     f  unexpected end of file
-     f  could not find block ID <...> in archive -- possibly due to corrupt archive
-     f  could not find block ID <...> in archive -- possibly due to <...>
-     f  found unexpected block ID <...> when reading data -- expected <...>
-     f  unrecognized data block type <...> while restoring archive
-     f  unrecognized data block type (<...>) while searching archive
-     f  could not uncompress data: <...>
-     f  could not close compression library: <...>
-     f  could not close compression stream: <...>
-     f  did not find magic string in file header
-     f  input file does not appear to be a valid archive
-     f  input file does not appear to be a valid archive (too short?)
-     f  input file is too short (read <...>, expected <...>)
-     f  input file appears to be a text format dump. Please use psql.
-     f  entry ID <...> out of range -- perhaps a corrupt TOC
-     f  bad dumpId
-     f  error during file seek: <...>
-     f  could not <...>compress: <...>
-     f  could not <...>compress data: <...>
-     f  could not find entry for ID <...>
-     f  could not find file "<...>" in archive
-     f  could not find header for file "<...>" in tar archive
-     f  corrupt tar header found in <...> (expected <...>, computed <...>) file position <...>
-     f  incomplete tar header found (<...>)
-     f  actual file length (<...>) does not match expected (<...>)
-     f  input file does not appear to be a valid tar archive
-     f  directory "<...>" does not appear to be a valid archive ("toc.dat" does not exist)
-     f  archive items not in correct section order
-     f  sanity check on integer size (<...>) failed
-     f  expected format (<...>) differs from format found in file (<...>)
-     f  unexpected data offset flag <...>
-     f  unexpected section code <...>
-     f  data block <...> has wrong seek position
-     f  unrecognized file format "<...>"
-     f  unrecognized encoding "<...>"
-     f  invalid ENCODING item: <...>
-     f  invalid STDSTRINGS item: <...>
-     f  invalid compression code: <...>
-     f  invalid OID for large object<...>
-     f  invalid line in large object TOC file "<...>": <...>
-     f  error reading large object TOC file "<...>"
-     f  restoring data out of order is not supported in this archive format: <...>
-     f  unexpected COPY statement syntax: <...>
-     f  could not close data file<...>
-     -  unexpected extra results during COPY of table "<name>"
-     -  could not write to large object: <...>
-     -  table "<name>" could not be created, will not restore its data
-     sf reconnection failed: <...>
-     sf could not get server_version from libpq
-     sf could not get "server_version" from libpq
-     sf could not create communication channels: <...>
-     sf could not write to the communication channel: <...>
-     sf invalid message received from worker: <...>
-     sf could not initialize compression library<...>
-     sf parallel restore is not supported with <...>
-     sf parallel restore from <...>
-     -  could not <...> large object <...>: <...>
-     sf unsupported version (<...>) in file header
-     sf could not open input file "<...>": <...>
-     sf cannot restore from compressed archive (compression not supported in this installation)
-     sf this build does not support compression with <...>
-     sf connection to server <...> failed: <...>
-     sf connection to database failed: <...>
-     sf could not connect to database<...>
-     sf aborting because of server version mismatch
-     sf server closed the connection unexpectedly
-     sf SSL connection has been closed unexpectedly
-     sf no connection to the server
-     sf connection to server was lost
-     s  invalid command \restrict
-     s  invalid command \unrestrict
-     -  invalid command \<...>
-     sf out of memory
-     sf a worker process died unexpectedly
-     sf worker process failed: exit code <...>
-     sf could not create worker process: <...>
-     sf child process was terminated by signal <...>
"""
_WARNINGS = """
-     h  wal_level is insufficient to publish logical changes
-     h  "wal_level" is insufficient to publish logical changes
-     h  subscription was created, but is not connected
-     h  restoring tables WITH OIDS is not supported anymore
-     h  line ignored: <...>
01007 -  no privileges were granted for "<name>"
01006 -  no privileges could be revoked for "<name>"
-     sf archive is compressed, but this installation does not support compression -- no data will be available
-     s  requested compression not available in this installation -- archive will be uncompressed
"""
_WORDS = """
a an already among and any are array as at attribute available base because been be before beyond binary bit block by
call cannot cascade cast catalog change check child cluster code collation column columns command composite
concurrently condition configuration conflict conflicting connection constraint constraints conversion corrupt
corrupted create created data database default definition deleted dependent depend detected device dictionary
directory division do does domain drop duplicate encoding end enum equivalent error event exceeded exceeds exclusion
execute exist exists expected expression extension external failed failure family field file for foreign format found
from function functional generated given grant has have header identity in index indexes inherit initialize input
insert installation insufficient internal into invalid invoke is it item key language large left level limit local
lock log lookup maximum method missing must name named names new no not null number object objects of offset on only
open operator option options or out over overflow owner page parameter parent partition partitioned password
permission policy position privilege privileges procedure process program publication query range read recursion
reference referenced references relation replica restore restrict return returned role row rows rule same schema
security select sequence server set size statement statistics step storage string subscription support supported
syntax system table tablespace target text than that the there this time timeout to toast too transaction transform
trigger trying type unable undefined unexpected union unique unknown unlogged unrecognized unsupported update updated
use used user using value values version view violates virtual wait was when where while with within without worker
write wrong zero
"""


def _holes(template: str, hole: str) -> str:
    return hole.join(map(re.escape, template.split("<...>")))


def _table(text: str) -> Iterator[Known]:
    for line in text.strip().splitlines():
        sqlstate, marks, template = line.split(None, 2)
        # What stands before a name takes all it can, so that a value which imitates the text never becomes the name.
        before, name, after = template.partition("<name>")
        pattern = _holes(before, r".*" if name else r".*?") + (r"(?P<name>.+?)" if name else "") + _holes(after, r".*?")
        yield Known(
            template,
            re.compile(pattern),
            None if sqlstate == "-" else sqlstate,
            sandbox="s" in marks,
            fatal="f" in marks,
            harmless="h" in marks,
        )


SERVER = tuple(_table(_SERVER))
PROGRAM = tuple(_table(_PROGRAM))
WARNINGS = tuple(_table(_WARNINGS))
VOCABULARY = frozenset(_WORDS.split())


def recognise(text: str, among: tuple[Known, ...]) -> tuple[Known, str | None] | None:
    """Return the recognised text and the object it names, or None."""
    for known in among:
        found = known.pattern.fullmatch(text)
        if found:
            return known, found.groupdict().get("name")
    return None


def censored(text: str) -> str:
    """Return a text with every word that is not in the vocabulary, and everything quoted, replaced by `…`."""
    unquoted = re.sub(r"\"[^\"]*\"?|'[^']*'?|\([^()]*\)?", " … ", text)
    words = [word if word.lower() in VOCABULARY else "…" for word in re.findall(r"[^\W\d_]+|\S", unquoted)]
    shown = re.sub(r"…( …)+", "…", " ".join(words[:40]))
    return shown or "…"
