-- What a database is made of, object by object, as facts that survive dump and restore and a newer server.
--
-- Each section is one query; `-- object: KIND` opens it. `name` is the object's name; every other column is a fact about
-- it. A column that begins with sql_ is SQL text, compared in a normal form; set_ is an array whose order means nothing
-- (and would depend on the database's collation). Object identifiers, tablespaces and anything
-- else that a restore may rightly change are not facts. A line that ends with `-- @14+` is for PostgreSQL 14 and newer,
-- one with `-- @12-14` for these majors; so is a whole section.
-- {user n}: schema n is the user's.  {own CLASS OID}: no member of an extension, and no built-in object.
-- {acl TYPE ACL OWNER}: privileges as sorted text, without MAINTAIN, which PostgreSQL 17 brought and gives with ALL.

-- object: schema
SELECT format('%I', n.nspname) AS name
FROM pg_namespace n WHERE {user n} AND {own pg_namespace n.oid}

-- object: owner of schema
SELECT format('%I', n.nspname) AS name, pg_get_userbyid(n.nspowner) AS owner
FROM pg_namespace n WHERE {user n} AND {own pg_namespace n.oid}

-- object: grants on schema
SELECT format('%I', n.nspname) AS name, {acl n n.nspacl n.nspowner} AS grants
FROM pg_namespace n WHERE {user n} AND n.nspacl IS NOT NULL
    AND {acl n n.nspacl n.nspowner} IS DISTINCT FROM {acl n NULL n.nspowner}

-- object: table
SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind, c.relpersistence, c.relrowsecurity,
    c.relforcerowsecurity, c.relreplident, (SELECT array_agg(o) FROM unnest(c.reloptions) o) AS set_options,
    (SELECT array_agg(o) FROM pg_class t, unnest(t.reloptions) o WHERE t.oid = c.reltoastrelid) AS set_toast_options,
    CASE WHEN c.relkind = 'r' THEN (SELECT amname FROM pg_am WHERE pg_am.oid = c.relam) END AS access_method,
    c.reloftype::regtype::text AS of_type,
    (SELECT array_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
    pg_get_partkeydef(c.oid) AS sql_partition_key, pg_get_expr(c.relpartbound, c.oid) AS sql_partition_bound,
    (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
    (SELECT s.srvname FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver
        WHERE f.ftrelid = c.oid) AS server,
    (SELECT array_agg(o) FROM pg_foreign_table f, unnest(f.ftoptions) o WHERE f.ftrelid = c.oid) AS set_foreign_options
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {user n} AND {own pg_class c.oid}

-- object: column
SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name, format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid) AS sql_default,
    (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
        WHERE co.oid = a.attcollation) AS collation,
    CASE WHEN c.relkind IN ('r', 'p', 'f', 'm') THEN a.attstorage END AS storage,
    CASE WHEN c.relkind IN ('r', 'p', 'm') THEN a.attcompression END AS compression, -- @14+
    coalesce(nullif(a.attstattarget::integer, -1), -1) AS statistics,
    (SELECT array_agg(o) FROM unnest(a.attoptions) o) AS set_options,
    (SELECT array_agg(o) FROM unnest(a.attfdwoptions) o) AS set_foreign_options
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND c.relpersistence <> 't'
    AND {user n} AND {own pg_class c.oid}
    AND (c.relkind <> 'c' OR {own pg_type c.reltype})

-- object: owner of relation
SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner) AS owner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't' AND {user n} AND {own pg_class c.oid}

-- object: grants on relation
SELECT format('%I.%I', n.nspname, c.relname) AS name, {acl k.kind c.relacl c.relowner} AS grants
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char" AS kind) k
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't' AND c.relacl IS NOT NULL AND {user n}
    AND {own pg_class c.oid} AND {acl k.kind c.relacl c.relowner} IS DISTINCT FROM {acl k.kind NULL c.relowner}

-- object: maintain grants on relation @17+
SELECT format('%I.%I', n.nspname, c.relname) AS name, array_agg(pg_get_userbyid(x.grantee)) AS set_grants
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) x
WHERE x.privilege_type = 'MAINTAIN' AND x.grantee <> c.relowner AND {user n} AND {own pg_class c.oid}
GROUP BY 1

-- object: grants on column
SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname) AS name, {acl c a.attacl c.relowner} AS grants
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attacl IS NOT NULL AND a.attacl <> '{}' AND NOT a.attisdropped AND {user n} AND {own pg_class c.oid}

-- object: view
SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_get_viewdef(c.oid) AS sql_definition,
    (SELECT array_agg(o) FROM unnest(c.reloptions) o) AS set_options,
    (SELECT array_agg(DISTINCT r.identity) FROM pg_rewrite w
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.deptype = 'n'
        CROSS JOIN LATERAL pg_identify_object(d.refclassid, d.refobjid, 0) r
        WHERE w.ev_class = c.oid AND w.rulename = '_RETURN' AND d.refobjid >= 16384
            AND NOT (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid))  AS set_uses
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND c.relpersistence <> 't' AND {user n} AND {own pg_class c.oid}

-- object: materialized view
SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_get_viewdef(c.oid) AS sql_definition,
    (SELECT array_agg(o) FROM unnest(c.reloptions) o) AS set_options,
    (SELECT amname FROM pg_am WHERE pg_am.oid = c.relam) AS access_method
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND {user n} AND {own pg_class c.oid}

-- object: index
SELECT format('%I.%I', n.nspname, c.relname) AS name, i.indrelid::regclass::text AS table_name,
    pg_get_indexdef(c.oid) AS sql_definition, am.amname, i.indisunique, i.indisprimary, i.indisexclusion, i.indimmediate,
    i.indisclustered, i.indisreplident, i.indnkeyatts,
    i.indnullsnotdistinct, -- @15+
    (SELECT array_agg(format('%I.%I', op_n.nspname, o.opcname) ORDER BY k.place)
        FROM unnest(i.indclass) WITH ORDINALITY AS k (id, place) JOIN pg_opclass o ON o.oid = k.id
        JOIN pg_namespace op_n ON op_n.oid = o.opcnamespace) AS operator_classes,
    (SELECT array_agg(o) FROM unnest(c.reloptions) o) AS set_options
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_am am ON am.oid = c.relam
WHERE c.relpersistence <> 't' AND {user n} AND {own pg_class i.indrelid}
    -- What a failed CREATE INDEX CONCURRENTLY left behind is in no dump.
    AND (i.indisvalid OR c.relkind = 'I')

-- Of a partitioned table, and not attached in all partitions: so it is dumped, and so it comes back.
-- object: incomplete index
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'I' AND NOT i.indisvalid AND c.relpersistence <> 't' AND {user n} AND {own pg_class i.indrelid}

-- Not-null constraints (contype n) have rows of their own only in PostgreSQL 18; columns tell them. Foreign keys that a
-- partition has through its parent get their names in the order of creation.
-- object: constraint
SELECT CASE WHEN k.conrelid <> 0 THEN format('%I on %s', k.conname, k.conrelid::regclass)
        ELSE format('%I on %s', k.conname, k.contypid::regtype) END AS name,
    pg_get_constraintdef(k.oid) AS sql_definition, k.contype, k.condeferrable, k.condeferred, k.convalidated,
    CASE k.contype WHEN 'c' THEN k.connoinherit END AS no_inherit, -- of keys, ATTACH PARTITION changes it
    k.confrelid::regclass::text AS references
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    LEFT JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype NOT IN ('n') AND NOT (k.contype = 'f' AND k.conparentid <> 0) AND coalesce(c.relpersistence, 'p') <> 't'
    AND {user n} AND {own pg_class k.conrelid} AND {own pg_type k.contypid}

-- object: trigger
SELECT format('%I on %s', t.tgname, t.tgrelid::regclass) AS name, pg_get_triggerdef(t.oid) AS sql_definition,
    t.tgenabled, t.tgfoid::regprocedure::text AS function
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND c.relpersistence <> 't' AND {user n} AND {own pg_class c.oid}

-- object: rule
SELECT format('%I on %s', r.rulename, r.ev_class::regclass) AS name, pg_get_ruledef(r.oid) AS sql_definition, r.ev_enabled
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND c.relpersistence <> 't' AND {user n} AND {own pg_class c.oid}

-- object: policy
SELECT format('%I on %s', p.polname, p.polrelid::regclass) AS name, p.polcmd, p.polpermissive,
    (SELECT array_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END)
        FROM unnest(p.polroles) r) AS set_roles,
    pg_get_expr(p.polqual, p.polrelid) AS sql_using, pg_get_expr(p.polwithcheck, p.polrelid) AS sql_check
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {user n} AND {own pg_class c.oid}

-- object: function
SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name, p.prokind,
    pg_get_function_arguments(p.oid) AS sql_arguments, pg_get_function_result(p.oid) AS result, l.lanname, p.provolatile,
    p.proisstrict, p.prosecdef, p.proleakproof, p.proparallel, p.procost, p.prorows,
    (SELECT array_agg(o) FROM unnest(p.proconfig) o) AS set_config, p.prosupport::regproc::text AS support,
    pg_get_function_sqlbody(p.oid) AS sql_body, -- @14+
    p.prosrc AS source, p.probin AS library,
    (SELECT array_agg(t::regtype::text) FROM unnest(p.protrftypes) t) AS transforms
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
-- The constructors of a range type belong to it.
WHERE {user n} AND {own pg_proc p.oid}
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')

-- object: aggregate
SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name, a.aggkind,
    a.aggnumdirectargs, a.aggtransfn::regproc::text AS transition, a.aggfinalfn::regproc::text AS final,
    a.aggcombinefn::regproc::text AS combine, a.aggserialfn::regproc::text AS serial, a.aggdeserialfn::regproc::text AS deserial,
    a.aggmtransfn::regproc::text AS moving, a.aggminvtransfn::regproc::text AS inverse, a.aggmfinalfn::regproc::text AS moving_final,
    a.aggfinalextra, a.aggmfinalextra, a.aggfinalmodify, a.aggmfinalmodify, a.aggsortop::regoperator::text AS sort,
    a.aggtranstype::regtype::text AS state, a.aggtransspace, a.aggmtranstype::regtype::text AS moving_state, a.aggmtransspace,
    a.agginitval, a.aggminitval
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {user n} AND {own pg_proc p.oid}
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')

-- object: owner of function
SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
    pg_get_userbyid(p.proowner) AS owner
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {user n} AND {own pg_proc p.oid}
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')

-- object: grants on function
SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name,
    {acl f p.proacl p.proowner} AS grants
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proacl IS NOT NULL AND {user n} AND {own pg_proc p.oid}
    AND {acl f p.proacl p.proowner} IS DISTINCT FROM {acl f NULL p.proowner}
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')

-- object: type
SELECT format('%I.%I', n.nspname, t.typname) AS name, t.typtype,
    (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels,
    CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base, t.typnotnull,
    pg_get_expr(t.typdefaultbin, 0) AS sql_default,
    t.typcollation::regcollation::text AS collation, -- @13+
    CASE t.typtype WHEN 'b' THEN array[t.typinput::regproc::text, t.typoutput::regproc::text, t.typreceive::regproc::text,
        t.typsend::regproc::text, t.typlen::text, t.typbyval::text, t.typalign::text, t.typstorage::text,
        t.typcategory::text, t.typdelim::text, t.typelem::regtype::text] END AS physical,
    (SELECT array[r.rngsubtype::regtype::text, o.opcname::text, r.rngcanonical::regproc::text, r.rngsubdiff::regproc::text]
        FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc WHERE r.rngtypid = t.oid) AS range,
    (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0
        AND NOT a.attisdropped) AS columns
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE {user n} AND {own pg_type t.oid} AND coalesce(c.relkind, 'c') = 'c'
    AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)

-- object: owner of type
SELECT format('%I.%I', n.nspname, t.typname) AS name, pg_get_userbyid(t.typowner) AS owner
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE {user n} AND {own pg_type t.oid} AND coalesce(c.relkind, 'c') = 'c'
    AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)

-- object: grants on type
SELECT format('%I.%I', n.nspname, t.typname) AS name, {acl T t.typacl t.typowner} AS grants
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typacl IS NOT NULL AND {user n} AND {own pg_type t.oid}
    AND {acl T t.typacl t.typowner} IS DISTINCT FROM {acl T NULL t.typowner}

-- object: sequence
SELECT format('%I.%I', n.nspname, c.relname) AS name, s.seqtypid::regtype::text AS type, s.seqstart, s.seqincrement,
    s.seqmax, s.seqmin, s.seqcache, s.seqcycle, c.relpersistence,
    (SELECT format('%s.%I', d.refobjid::regclass, a.attname) FROM pg_depend d
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
          AND d.refclassid = 'pg_class'::regclass) AS owned_by
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND {user n} AND {own pg_class c.oid}

-- object: statistics
SELECT format('%I.%I', n.nspname, s.stxname) AS name, pg_get_statisticsobjdef(s.oid) AS sql_definition,
    pg_get_userbyid(s.stxowner) AS owner
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {user n} AND {own pg_statistic_ext s.oid}

-- object: operator
SELECT o.oid::regoperator::text AS name, o.oprcode::regprocedure::text AS function, o.oprresult::regtype::text AS result,
    o.oprcom::regoperator::text AS commutator, o.oprnegate::regoperator::text AS negator, o.oprcanmerge, o.oprcanhash,
    o.oprrest::regproc::text AS restriction, o.oprjoin::regproc::text AS join_estimator, pg_get_userbyid(o.oprowner) AS owner
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {user n} AND {own pg_operator o.oid}

-- object: operator class
SELECT format('%I.%I using %I', n.nspname, o.opcname, am.amname) AS name, o.opcintype::regtype::text AS type, o.opcdefault,
    o.opckeytype::regtype::text AS key_type, f.opfname, pg_get_userbyid(o.opcowner) AS owner
FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am am ON am.oid = o.opcmethod
    JOIN pg_opfamily f ON f.oid = o.opcfamily
WHERE {user n} AND {own pg_opclass o.oid}

-- object: operator family
SELECT format('%I.%I using %I', n.nspname, f.opfname, am.amname) AS name, pg_get_userbyid(f.opfowner) AS owner,
    (SELECT array_agg(format('%s %s', a.amopstrategy, a.amopopr::regoperator)) FROM pg_amop a
        WHERE a.amopfamily = f.oid) AS set_operators,
    (SELECT array_agg(format('%s %s', a.amprocnum, a.amproc::regprocedure)) FROM pg_amproc a
        WHERE a.amprocfamily = f.oid) AS set_functions
FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am am ON am.oid = f.opfmethod
WHERE {user n} AND {own pg_opfamily f.oid}

-- object: cast
SELECT format('%s as %s', c.castsource::regtype, c.casttarget::regtype) AS name, c.castfunc::regprocedure::text AS function,
    c.castcontext, c.castmethod
FROM pg_cast c WHERE c.oid >= 16384 AND {own pg_cast c.oid}

-- object: collation
SELECT format('%I.%I', n.nspname, c.collname) AS name, c.collprovider, c.collisdeterministic, c.collencoding,
    c.collcollate, c.collctype, -- @12-14
    coalesce(c.collcollate, c.colliculocale) AS collcollate, c.collctype, -- @15-16
    coalesce(c.collcollate, c.colllocale) AS collcollate, c.collctype, -- @17+
    pg_get_userbyid(c.collowner) AS owner
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE {user n} AND {own pg_collation c.oid}

-- object: conversion
SELECT format('%I.%I', n.nspname, c.conname) AS name, c.conforencoding, c.contoencoding, c.conproc::regproc::text AS function,
    c.condefault, pg_get_userbyid(c.conowner) AS owner
FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {user n} AND {own pg_conversion c.oid}

-- object: language
SELECT format('%I', l.lanname) AS name, l.lanpltrusted, l.lanplcallfoid::regproc::text AS handler,
    pg_get_userbyid(l.lanowner) AS owner
FROM pg_language l WHERE l.oid >= 16384 AND {own pg_language l.oid}

-- object: grants on language
SELECT format('%I', l.lanname) AS name, {acl l l.lanacl l.lanowner} AS grants
FROM pg_language l WHERE l.lanacl IS NOT NULL AND l.oid >= 16384 AND {own pg_language l.oid}
    AND {acl l l.lanacl l.lanowner} IS DISTINCT FROM {acl l NULL l.lanowner}

-- object: text search configuration
SELECT format('%I.%I', n.nspname, c.cfgname) AS name, (SELECT prsname FROM pg_ts_parser p WHERE p.oid = c.cfgparser) AS parser,
    (SELECT array_agg(format('%s %s %s', m.maptokentype, m.mapseqno, m.mapdict::regdictionary))
        FROM pg_ts_config_map m WHERE m.mapcfg = c.oid) AS set_mapping, pg_get_userbyid(c.cfgowner) AS owner
FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace WHERE {user n} AND {own pg_ts_config c.oid}

-- object: text search dictionary
SELECT format('%I.%I', n.nspname, d.dictname) AS name, t.tmplname, d.dictinitoption, pg_get_userbyid(d.dictowner) AS owner
FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
WHERE {user n} AND {own pg_ts_dict d.oid}

-- object: foreign data wrapper
SELECT format('%I', f.fdwname) AS name, f.fdwhandler::regproc::text AS handler, f.fdwvalidator::regproc::text AS validator,
    pg_get_userbyid(f.fdwowner) AS owner
FROM pg_foreign_data_wrapper f WHERE {own pg_foreign_data_wrapper f.oid}

-- object: foreign server
SELECT format('%I', s.srvname) AS name, f.fdwname, s.srvtype, s.srvversion, pg_get_userbyid(s.srvowner) AS owner,
    (SELECT array_agg(o) FROM unnest(s.srvoptions) o) AS set_options
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper f ON f.oid = s.srvfdw WHERE {own pg_foreign_server s.oid}

-- object: grants on foreign data wrapper
SELECT format('%I', f.fdwname) AS name, {acl F f.fdwacl f.fdwowner} AS grants
FROM pg_foreign_data_wrapper f WHERE f.fdwacl IS NOT NULL AND {own pg_foreign_data_wrapper f.oid}
    AND {acl F f.fdwacl f.fdwowner} IS DISTINCT FROM {acl F NULL f.fdwowner}

-- object: grants on foreign server
SELECT format('%I', s.srvname) AS name, {acl S s.srvacl s.srvowner} AS grants
FROM pg_foreign_server s WHERE s.srvacl IS NOT NULL AND {own pg_foreign_server s.oid}
    AND {acl S s.srvacl s.srvowner} IS DISTINCT FROM {acl S NULL s.srvowner}

-- Never their options: passwords are among them, and not every role sees them.
-- object: user mapping
SELECT format('%I on %I', m.usename, m.srvname) AS name FROM pg_user_mappings m

-- object: event trigger
SELECT format('%I', e.evtname) AS name, e.evtevent, e.evtfoid::regproc::text AS function, e.evtenabled,
    e.evttags AS set_tags, pg_get_userbyid(e.evtowner) AS owner
FROM pg_event_trigger e WHERE {own pg_event_trigger e.oid}

-- object: publication
SELECT format('%I', p.pubname) AS name, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
    p.pubviaroot, -- @13+
    (SELECT array_agg(quote_ident(n.nspname)) FROM pg_publication_namespace s JOIN pg_namespace n ON n.oid = s.pnnspid
        WHERE s.pnpubid = p.oid) AS set_schemas, -- @15+
    (SELECT array_agg(r.prrelid::regclass::text) FROM pg_publication_rel r
        WHERE r.prpubid = p.oid) AS set_tables, pg_get_userbyid(p.pubowner) AS owner
FROM pg_publication p WHERE {own pg_publication p.oid}

-- object: narrowed publication @15+
SELECT format('%I of %s', p.pubname, r.prrelid::regclass) AS name, pg_get_expr(r.prqual, r.prrelid) AS sql_filter,
    (SELECT array_agg(a.attname) FROM unnest(r.prattrs::int2[]) k JOIN pg_attribute a ON a.attrelid = r.prrelid
        AND a.attnum = k) AS set_columns
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL) AND {own pg_publication p.oid}

-- What it connects to and its slot are no facts: a dump may rightly be restored without either.
-- object: subscription
SELECT format('%I', s.subname) AS name, (SELECT array_agg(p) FROM unnest(s.subpublications) p) AS set_publications,
    pg_get_userbyid(s.subowner) AS owner
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()

-- object: extension
SELECT format('%I', x.extname) AS name, n.nspname AS schema
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace

-- There may be millions of them, so all have one digest.
-- object: owners and grants of
SELECT 'large objects' AS name, count(*) AS count, sum(hashtextextended(
    concat_ws(' ', m.oid::int8, pg_get_userbyid(m.lomowner), {acl L m.lomacl m.lomowner}::text) COLLATE "C", 0)) AS digest
FROM pg_largeobject_metadata m HAVING count(*) > 0

-- object: access method
SELECT format('%I', a.amname) AS name, a.amhandler::regproc::text AS handler, a.amtype
FROM pg_am a WHERE a.oid >= 16384 AND {own pg_am a.oid}

-- object: default privileges
SELECT format('for %I in %s on %s', pg_get_userbyid(d.defaclrole),
        coalesce((SELECT quote_ident(nspname) FROM pg_namespace n WHERE n.oid = d.defaclnamespace), '*'), d.defaclobjtype) AS name,
    {acl d.defaclobjtype d.defaclacl d.defaclrole} AS grants
FROM pg_default_acl d

-- object: comment
SELECT format('%s %s', o.type, o.identity) AS name, d.description
FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) o
WHERE (d.objoid >= 16384 OR d.classoid = 'pg_largeobject'::regclass
        OR (d.classoid = 'pg_namespace'::regclass AND d.objoid IN (SELECT oid FROM pg_namespace WHERE nspname = 'public'))) AND d.classoid <> 'pg_extension'::regclass
    AND coalesce(o.schema, '') !~ '^pg_t'
    AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE d.classoid = 'pg_class'::regclass AND i.indexrelid = d.objoid AND NOT i.indisvalid AND c.relkind = 'i')
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
