-- One of everything that pg_dump carries, for PostgreSQL 15 and newer: what a manifest must find equal after a restore.
-- Roles rich_owner, rich_reader and "Rich Writer" must exist.
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION btree_gist;
CREATE SCHEMA app AUTHORIZATION rich_owner;
CREATE SCHEMA "Odd ""Schema""";
GRANT USAGE ON SCHEMA app TO rich_reader, "Rich Writer";
GRANT CREATE ON SCHEMA public TO "Rich Writer";
COMMENT ON SCHEMA app IS 'the application';

CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE app.mood ADD VALUE 'so so' BEFORE 'ok';
CREATE DOMAIN app.positive AS integer DEFAULT 1 NOT NULL CONSTRAINT positive_only CHECK (VALUE > 0);
CREATE DOMAIN app.code AS character varying(8) CHECK (VALUE IN ('a', 'b', 'c'));
CREATE TYPE app.pair AS (left_part integer, right_part text COLLATE "C");
CREATE TYPE app.float_range AS RANGE (subtype = float8, subtype_diff = float8mi);
GRANT USAGE ON TYPE app.mood TO rich_reader;
CREATE COLLATION app.deterministic (provider = libc, locale = 'C');

CREATE SEQUENCE app.orders_no AS integer START 100 INCREMENT 5 MINVALUE 100 MAXVALUE 100000 CACHE 10;
CREATE SEQUENCE app.downwards INCREMENT -1 START 50 MINVALUE -50 MAXVALUE 50;
CREATE SEQUENCE app.untouched;

CREATE FUNCTION app.add(a integer, b integer DEFAULT 1 + 1) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 7 AS 'SELECT a + b';
CREATE FUNCTION app.body(a integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN (a * 2) + 1;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, pg_temp AS $body$
BEGIN
    NEW.changed := timestamp '2020-01-01 00:00:00'; -- fixed, so that restores agree
    RETURN NEW;
END $body$;
CREATE FUNCTION app.many(OUT a integer, OUT b text) RETURNS SETOF record LANGUAGE sql STABLE ROWS 3
    AS $$ VALUES (1, 'x'), (2, 'y') $$;
CREATE PROCEDURE app.nothing(INOUT x integer) LANGUAGE plpgsql AS 'BEGIN x := x; END';
CREATE AGGREGATE app.total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE FUNCTION app.same(a app.pair, b app.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT a = b';
CREATE OPERATOR app.=== (LEFTARG = app.pair, RIGHTARG = app.pair, FUNCTION = app.same, COMMUTATOR = OPERATOR(app.===));
CREATE CAST (app.pair AS text) WITH INOUT AS ASSIGNMENT;
REVOKE ALL ON FUNCTION app.add(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.add(integer, integer) TO rich_reader WITH GRANT OPTION;

CREATE TABLE app.partner (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email citext UNIQUE,
    state character varying(20) DEFAULT 'draft' CHECK (state IN ('draft', 'done', 'cancel')),
    amount numeric(12, 2) DEFAULT 0.00,
    half numeric GENERATED ALWAYS AS (amount / 2) STORED,
    mood app.mood DEFAULT 'ok'::app.mood,
    positive app.positive,
    code app.code,
    tags text[] DEFAULT ARRAY['a'::text, 'b'::text],
    extra hstore,
    pair app.pair,
    parent integer REFERENCES app.partner (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    dropped integer,
    born date DEFAULT '2000-02-29',
    changed timestamp with time zone DEFAULT '2020-01-01 00:00:00+00',
    lap interval DEFAULT '1 day 02:00:00',
    CONSTRAINT sane CHECK (amount >= -5 AND (name <> '' OR email IS NOT NULL) AND position('(' in name) = 0)
);
ALTER TABLE app.partner DROP COLUMN dropped;
ALTER TABLE app.partner OWNER TO rich_owner;
ALTER TABLE app.partner ALTER COLUMN name SET STATISTICS 300;
ALTER TABLE app.partner ALTER COLUMN tags SET STORAGE EXTERNAL;
ALTER TABLE app.partner SET (fillfactor = 80, autovacuum_enabled = false);
ALTER TABLE app.partner REPLICA IDENTITY FULL;
COMMENT ON TABLE app.partner IS 'It''s a partner';
COMMENT ON COLUMN app.partner.name IS 'full name';
CREATE INDEX partner_lower ON app.partner (lower(name) text_pattern_ops DESC, (amount + 1)) INCLUDE (state)
    WHERE state::text = ANY (ARRAY['draft', 'done']);
CREATE INDEX partner_tags ON app.partner USING gin (tags) WITH (fastupdate = off);
CREATE UNIQUE INDEX partner_nulls ON app.partner (code, born) NULLS NOT DISTINCT WHERE code IS NOT NULL AND id < 0;
ALTER TABLE app.partner CLUSTER ON partner_pkey;
CREATE STATISTICS app.partner_stats (dependencies, ndistinct) ON state, born FROM app.partner;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE OF name ON app.partner
    FOR EACH ROW WHEN (NEW.name IS NOT NULL) EXECUTE FUNCTION app.touch();
CREATE TRIGGER silent AFTER DELETE ON app.partner FOR EACH STATEMENT EXECUTE FUNCTION app.touch();
ALTER TABLE app.partner DISABLE TRIGGER silent;
GRANT SELECT, INSERT ON app.partner TO "Rich Writer";
GRANT SELECT (id, name), UPDATE (name) ON app.partner TO rich_reader;
GRANT ALL ON app.partner TO rich_reader;

CREATE TABLE app.secret (id integer, who text);
ALTER TABLE app.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.secret AS RESTRICTIVE FOR SELECT TO rich_reader, "Rich Writer" USING (who = CURRENT_USER OR id > 10);

CREATE POLICY grouped ON app.secret USING ((id = 1 OR who = 'a') AND who <> 'b');

CREATE TABLE app.booking (
    room integer, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room IS NOT NULL)
);
CREATE TABLE app.event (id bigint, day date NOT NULL, body jsonb, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE app.event_2023 PARTITION OF app.event FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE app.event_2024 PARTITION OF app.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')
    PARTITION BY LIST (id);
CREATE TABLE app.event_2024_even PARTITION OF app.event_2024 FOR VALUES IN (2, 4, 6);
CREATE TABLE app.event_other PARTITION OF app.event DEFAULT;
CREATE INDEX event_body ON app.event USING gin (body);
CREATE TABLE app.base (a integer);
CREATE TABLE app.child (b integer) INHERITS (app.base);
CREATE UNLOGGED TABLE app.cache (k text PRIMARY KEY, v text);
CREATE TABLE app.nothing_at_all ();
CREATE TABLE "Odd ""Schema"""."Odd ""Table"" ; DROP" ("a ""b""" integer, "select" text, "ü" text);
CREATE TABLE public.ir_config_parameter (id serial PRIMARY KEY, key varchar, value text);
CREATE TABLE public.constrained (a integer, b integer);
ALTER TABLE public.constrained ADD CONSTRAINT later CHECK (a < b) NOT VALID;

CREATE VIEW app.v_simple WITH (security_barrier = true) AS
    SELECT p.id, p.name AS title, p.amount::numeric(14, 4) AS precise, coalesce(p.tags[1], '(none)') AS tag
    FROM app.partner p WHERE p.state::text IN ('draft', 'done') AND p.amount > 1.50 ORDER BY p.id DESC;
CREATE VIEW app.v_join AS
    WITH totals AS (SELECT state, sum(amount) AS s, count(*) FILTER (WHERE amount > 0) AS n FROM app.partner GROUP BY state)
    SELECT a.id, b.name AS parent_name, t.s, row_number() OVER (PARTITION BY a.state ORDER BY a.id) AS r,
        extract(year FROM a.born) AS y, CASE WHEN a.id = 1 THEN 'one' ELSE 'many' END AS c,
        (SELECT max(x.id) FROM app.event x WHERE x.day = a.born) AS m
    FROM app.partner a LEFT JOIN app.partner b ON b.id = a.parent JOIN totals t ON t.state = a.state
    WHERE NOT EXISTS (SELECT 1 FROM app.secret s WHERE s.id = a.id) AND a.name ~~ 'x%' IS NOT TRUE;
CREATE VIEW app.v_checked AS SELECT id, who FROM app.secret WHERE id < 1000 WITH LOCAL CHECK OPTION;
CREATE VIEW app.v_union AS SELECT 1 AS n, 'a'::text AS t UNION ALL SELECT a, b FROM app.many() UNION SELECT id, name FROM app.partner;
CREATE RULE v_union_no_insert AS ON INSERT TO app.v_union DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW app.mv AS SELECT state, count(*) AS n FROM app.partner GROUP BY state;
CREATE UNIQUE INDEX mv_state ON app.mv (state);
CREATE MATERIALIZED VIEW app.mv_empty AS SELECT 1 AS one WITH NO DATA;
ALTER VIEW app.v_simple OWNER TO rich_owner;
GRANT SELECT ON app.v_simple TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE rich_owner IN SCHEMA app GRANT SELECT ON TABLES TO rich_reader;
CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION app.on_ddl();
CREATE TEXT SEARCH CONFIGURATION app.german (COPY = pg_catalog.german);
CREATE PUBLICATION rich FOR TABLE app.secret, app.booking;
CREATE PUBLICATION narrow FOR TABLE app.secret (id, who) WHERE (id > 1 AND who IN ('a', 'b'))
    WITH (publish = 'insert', publish_via_partition_root = true);
CREATE PUBLICATION whole FOR TABLES IN SCHEMA "Odd ""Schema""";
COMMENT ON SCHEMA public IS 'not the standard one';
CREATE FOREIGN DATA WRAPPER plain;
CREATE SERVER far FOREIGN DATA WRAPPER plain OPTIONS (host 'far.test');
CREATE USER MAPPING FOR rich_reader SERVER far OPTIONS (user 'u', password 'Canary');
CREATE USER MAPPING FOR PUBLIC SERVER far;
GRANT USAGE ON FOREIGN DATA WRAPPER plain TO rich_reader;
GRANT USAGE ON FOREIGN SERVER far TO "Rich Writer";

INSERT INTO app.partner (name, email, amount, state, code, tags, extra, pair, parent, positive)
    SELECT 'partner ' || i, 'P' || i || '@x.test', i / 7.0, (ARRAY['draft', 'done', 'cancel'])[1 + i % 3], 'a',
        ARRAY['t' || i, NULL], 'a=>1, b=>NULL'::hstore, ROW(i, 'r')::app.pair, NULL, i
    FROM generate_series(1, 250) AS i;
UPDATE app.partner SET parent = id - 1 WHERE id > 1 AND id % 3 = 0;
DELETE FROM app.partner WHERE id % 50 = 1 AND id <> 1 AND id - 1 NOT IN (SELECT parent FROM app.partner WHERE parent IS NOT NULL);
INSERT INTO app.secret VALUES (1, 'a'), (2, NULL), (3, E'tab\tnew\nline\\');
INSERT INTO app.booking VALUES (1, '[2024-01-01,2024-01-02)'), (1, '[2024-01-02,)'), (2, 'empty');
INSERT INTO app.event SELECT i, date '2023-06-01' + (i % 300)::integer, jsonb_build_object('i', i, 'x', 1.10) FROM generate_series(1, 200) i;
INSERT INTO app.event VALUES (2, '2024-12-31', '{}'), (4, '2024-01-01', NULL), (9, '1999-01-01', '[]');
INSERT INTO app.base VALUES (1), (2);
INSERT INTO app.child VALUES (3, 4);
INSERT INTO app.cache VALUES ('k', 'v');
INSERT INTO app.nothing_at_all DEFAULT VALUES;
INSERT INTO app.nothing_at_all DEFAULT VALUES;
INSERT INTO "Odd ""Schema"""."Odd ""Table"" ; DROP" VALUES (1, 'x', 'ß');
INSERT INTO public.ir_config_parameter (key, value) VALUES ('database.uuid', '5e1c3c0e-0000-4000-8000-000000000001'), ('other', 'secret');
INSERT INTO public.constrained VALUES (1, 2);
SELECT setval('app.orders_no', 250), nextval('app.downwards');
REFRESH MATERIALIZED VIEW app.mv;
SELECT lo_from_bytea(70001, decode(repeat('ab', 5000), 'hex')), lo_create(70002), lo_from_bytea(70003, '\x00000000');
SELECT lo_put(70002, 10000, '\x0102');
COMMENT ON LARGE OBJECT 70001 IS 'big';
GRANT SELECT ON LARGE OBJECT 70001 TO rich_reader;
ALTER LARGE OBJECT 70002 OWNER TO rich_reader;
