-- Rows of the demo's database, made by the server itself: the same seed, scale and time give the same rows.
-- demo.seed, demo.scale and demo.now are set for the transaction by demo_estate.py.

CREATE FUNCTION pg_temp.scale() RETURNS numeric LANGUAGE sql IMMUTABLE
    AS $$ SELECT current_setting('demo.scale')::numeric $$;
CREATE FUNCTION pg_temp.n(base integer) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT greatest(base / 20, 4, round(base * current_setting('demo.scale')::numeric)::integer) $$;
-- A number in [0, modulo) that depends on row, salt and seed alone.
CREATE FUNCTION pg_temp.r(row_number bigint, salt integer, modulo integer) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT ((hashint8extended(row_number * 1000 + salt, current_setting('demo.seed')::bigint)
                   & 9223372036854775807) % modulo)::integer $$;
-- A moment in the last 400 days before demo.now, to the microsecond as Odoo writes it.
CREATE FUNCTION pg_temp.t(row_number bigint, salt integer) RETURNS timestamp LANGUAGE sql IMMUTABLE
    AS $$ SELECT current_setting('demo.now')::timestamp
              - make_interval(secs => (hashint8extended(row_number * 1000 + salt + 500, current_setting('demo.seed')::bigint)
                                       & 9223372036854775807) % 34560000000000 / 1000000.0) $$;
CREATE FUNCTION pg_temp.money(row_number bigint, salt integer, most integer) RETURNS numeric LANGUAGE sql IMMUTABLE
    AS $$ SELECT round((pg_temp.r(row_number, salt, most * 100 - 100) + 100)::numeric / 100, 2) $$;
CREATE FUNCTION pg_temp.pick(row_number bigint, salt integer, VARIADIC words text[]) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT words[1 + pg_temp.r(row_number, salt, cardinality(words))] $$;

INSERT INTO res_currency (name, symbol, full_name, position, rounding, decimal_places, currency_unit_label, active)
VALUES ('EUR', '€', 'Euro', 'after', 0.010000, 2, '{"en_US": "Euros", "de_DE": "Euro"}', true),
       ('USD', '$', 'United States dollar', 'before', 0.010000, 2, '{"en_US": "Dollars"}', true),
       ('CHF', 'CHF', 'Swiss franc', 'after', 0.010000, 2, '{"en_US": "Francs"}', true);

INSERT INTO res_country (name, code, currency_id, phone_code, zip_required, address_format)
VALUES ('{"en_US": "Germany", "de_DE": "Deutschland"}', 'DE', 1, 49, true, E'%(street)s\n%(street2)s\n%(zip)s %(city)s'),
       ('{"en_US": "France", "fr_FR": "France"}', 'FR', 1, 33, true, E'%(street)s\n%(zip)s %(city)s'),
       ('{"en_US": "Switzerland", "de_DE": "Schweiz"}', 'CH', 3, 41, true, E'%(street)s\n%(zip)s %(city)s'),
       ('{"en_US": "United States"}', 'US', 2, 1, false, E'%(street)s\n%(city)s %(zip)s'),
       ('{"en_US": "Czech Republic", "cs_CZ": "Česko"}', 'CZ', 1, 420, true, E'%(street)s\n%(zip)s %(city)s');

INSERT INTO res_partner (name, complete_name, company_id, country_id, commercial_partner_id, lang, tz, vat, type, street, zip, city,
    email, email_normalized, phone, active, employee, is_company, partner_share, create_uid, write_uid, create_date, write_date,
    customer_rank, supplier_rank, color, partner_latitude, partner_longitude, comment, ref)
SELECT name, name, CASE WHEN i % 4 = 0 THEN 1 END, 1 + pg_temp.r(i, 1, 5), i,
    pg_temp.pick(i, 2, 'en_US', 'de_DE', 'fr_FR'), 'Europe/Berlin', 'DE' || 100000000 + i, 'contact',
    pg_temp.pick(i, 3, 'Industriestraße', 'Rue de l''Atelier', 'Werkweg', 'Mill Road', 'Náměstí Míru') || ' ' || 1 + i % 180,
    lpad((pg_temp.r(i, 4, 99999))::text, 5, '0'), pg_temp.pick(i, 5, 'Dresden', 'Lyon', 'Zürich', 'Plzeň', 'Dayton'),
    'office' || i || '@example.com', 'office' || i || '@example.com', '+49 351 ' || 1000000 + i, true, false, i % 3 <> 0,
    true, 1, 1, pg_temp.t(i, 6), pg_temp.t(i, 7), pg_temp.r(i, 8, 5), pg_temp.r(i, 9, 2), i % 12,
    round(pg_temp.r(i, 10, 900000)::numeric / 10000, 7), round(pg_temp.r(i, 11, 1800000)::numeric / 10000, 7),
    CASE WHEN i % 5 = 0 THEN '<p>Delivers only on ' || pg_temp.pick(i, 12, 'Monday', 'Tuesday', 'Friday')
         || E'.\tCall ahead;\nring twice \\ gate 2.</p>' END, CASE WHEN i % 2 = 0 THEN 'C' || lpad(i::text, 6, '0') END
FROM (SELECT i, pg_temp.pick(i, 13, 'Müller', 'Novák', 'Lefèvre', 'Steinmetz', 'Ashford', 'Brandt', 'Kovář') || ' '
             || pg_temp.pick(i, 14, 'Metallbau', 'Hydraulics', 'Fonderie', 'Werkzeuge', 'Plastics', 'Antriebe') || ' ' || i AS name
      FROM generate_series(1, pg_temp.n(2500)) i) names;

INSERT INTO res_company (name, partner_id, currency_id, parent_path, sequence, email, phone, active, fiscalyear_last_day,
    fiscalyear_last_month)
VALUES ('Steinmetz Antriebe GmbH', 1, 1, '1/', 10, 'office@example.com', '+49 351 1000001', true, 31, '12'),
       ('Steinmetz Plastics SAS', 2, 1, '2/', 20, 'bureau@example.com', '+33 4 1000002', true, 31, '12');

INSERT INTO res_users (company_id, partner_id, active, login, password, signature, share, notification_type, create_uid,
    write_uid, create_date, write_date)
SELECT 1 + i % 2, i + 2, true, CASE i WHEN 1 THEN 'admin' ELSE 'user' || i || '@example.com' END,
    '$pbkdf2-sha512$600000$' || encode(sha256(('salt' || i)::bytea), 'hex') || '$' || encode(sha256(('pw' || i)::bytea), 'hex'),
    '<p>--<br>User ' || i || '</p>', false, 'email', 1, 1, pg_temp.t(i, 20), pg_temp.t(i, 21)
FROM generate_series(1, 60) i WHERE i + 2 <= pg_temp.n(2500);

INSERT INTO res_groups (name, share, create_date)
SELECT jsonb_build_object('en_US', 'Group ' || i, 'de_DE', 'Gruppe ' || i), false, pg_temp.t(i, 22)
FROM generate_series(1, 24) i;
INSERT INTO res_groups_users_rel (gid, uid)
SELECT DISTINCT 1 + pg_temp.r(u.id * 100 + k, 23, 24), u.id FROM res_users u, generate_series(1, 6) k ORDER BY 2, 1;

INSERT INTO uom_uom (name, category_id, factor, rounding, uom_type, active)
VALUES ('{"en_US": "Units", "de_DE": "Stück"}', 1, 1.0, 0.01, 'reference', true),
       ('{"en_US": "kg"}', 2, 1.0, 0.001, 'reference', true), ('{"en_US": "m"}', 3, 1.0, 0.01, 'reference', true);

INSERT INTO product_category (parent_id, name, complete_name, parent_path)
SELECT CASE WHEN i > 1 THEN 1 END, 'Category ' || i, CASE WHEN i > 1 THEN 'Category 1 / ' ELSE '' END || 'Category ' || i,
    CASE WHEN i > 1 THEN '1/' ELSE '' END || i || '/' FROM generate_series(1, 18) i;

INSERT INTO product_template (sequence, categ_id, uom_id, uom_po_id, detailed_type, type, default_code, priority, name,
    description_sale, list_price, volume, weight, sale_ok, purchase_ok, active, tracking, sale_delay, invoice_policy,
    create_uid, write_uid, create_date, write_date)
SELECT 1, 1 + pg_temp.r(i, 30, 18), 1 + i % 3, 1 + i % 3, 'product', 'product', 'P-' || lpad(i::text, 5, '0'), '0',
    jsonb_build_object('en_US', word || ' ' || i, 'de_DE', 'Teil „' || word || '“ ' || i),
    CASE WHEN i % 3 = 0 THEN jsonb_build_object('en_US', 'Size ' || i % 90 || ' mm, tolerance 0.02') END,
    pg_temp.money(i, 31, 900), round(pg_temp.r(i, 32, 1000)::numeric / 1000, 3), round(pg_temp.r(i, 33, 90000)::numeric / 100, 2), true, i % 2 = 0,
    i % 97 <> 0, pg_temp.pick(i, 34, 'none', 'none', 'lot', 'serial'), pg_temp.r(i, 35, 21), 'order', 1, 1,
    pg_temp.t(i, 36), pg_temp.t(i, 37)
FROM (SELECT i, pg_temp.pick(i, 38, 'Gear', 'Shaft', 'Bearing', 'Housing', 'Valve', 'Seal', 'Motor', 'Bracket') AS word
      FROM generate_series(1, pg_temp.n(1500)) i) words;

INSERT INTO product_product (product_tmpl_id, default_code, barcode, combination_indices, standard_price, volume, weight, active,
    create_uid, write_uid, create_date, write_date)
SELECT id, default_code, '40' || lpad((id * 7919 % 10000000000)::text, 11, '0'), '',
    jsonb_build_object('1', round(list_price * 0.6, 2), '2', round(list_price * 0.65, 2)), volume, weight, active, 1, 1,
    create_date, write_date
FROM product_template;

INSERT INTO stock_location (location_id, company_id, name, complete_name, usage, parent_path, barcode, active, scrap_location)
SELECT CASE WHEN i > 1 THEN 1 END, 1, CASE i WHEN 1 THEN 'WH' WHEN 2 THEN 'Customers' WHEN 3 THEN 'Production' ELSE 'Shelf ' || i END,
    CASE i WHEN 1 THEN 'WH' WHEN 2 THEN 'WH/Customers' WHEN 3 THEN 'WH/Production' ELSE 'WH/Shelf ' || i END,
    CASE i WHEN 1 THEN 'view' WHEN 2 THEN 'customer' WHEN 3 THEN 'production' ELSE 'internal' END,
    CASE WHEN i > 1 THEN '1/' ELSE '' END || i || '/', 'LOC-' || i, true, false FROM generate_series(1, 60) i;
INSERT INTO stock_warehouse (company_id, partner_id, name, code, lot_stock_id, reception_steps, delivery_steps, active)
VALUES (1, 1, 'Plant Dresden', 'WH', 4, 'one_step', 'ship_only', true);

INSERT INTO sale_order (company_id, partner_id, partner_invoice_id, partner_shipping_id, currency_id, user_id, create_uid,
    write_uid, access_token, name, state, client_order_ref, invoice_status, validity_date, note, currency_rate, amount_untaxed,
    amount_tax, amount_total, locked, require_signature, create_date, commitment_date, date_order, write_date,
    prepayment_percent, picking_policy, warehouse_id)
SELECT 1, p, p, p, 1, 1 + pg_temp.r(i, 41, 50) % (SELECT count(*)::integer FROM res_users), 1, 1,
    encode(substring(sha256(('token' || i)::bytea) FOR 16), 'hex'), 'S' || lpad(i::text, 5, '0'),
    pg_temp.pick(i, 42, 'draft', 'sent', 'sale', 'sale', 'sale', 'cancel'), CASE WHEN i % 3 = 0 THEN 'PO-' || i * 17 END,
    pg_temp.pick(i, 43, 'no', 'to invoice', 'invoiced'), pg_temp.t(i, 44)::date, CASE WHEN i % 7 = 0 THEN '<p>Partial shipment agreed.</p>' END,
    1.0, amount, round(amount * 0.19, 2), amount + round(amount * 0.19, 2), i % 11 = 0, true, pg_temp.t(i, 45), NULL,
    pg_temp.t(i, 45), pg_temp.t(i, 45), 1.0, 'direct', 1
FROM (SELECT i, 1 + pg_temp.r(i, 40, pg_temp.n(2500)) AS p, pg_temp.money(i, 46, 40000) AS amount
      FROM generate_series(1, pg_temp.n(4000)) i) orders;

INSERT INTO sale_order_line (order_id, sequence, company_id, currency_id, order_partner_id, product_id, product_uom, create_uid,
    write_uid, state, name, product_uom_qty, price_unit, discount, price_subtotal, price_tax, price_total, qty_delivered,
    qty_invoiced, qty_to_invoice, customer_lead, is_downpayment, create_date, write_date)
SELECT o, 10 + i % 3, 1, 1, NULL, p, 1, 1, 1, 'sale', '[P-' || lpad(p::text, 5, '0') || '] Part ' || p || E'\nas drawn', qty, price,
    0.0, qty * price, (qty * price * 0.19)::double precision, round(qty * price * 1.19, 2), qty, 0, qty,
    pg_temp.r(i, 54, 14), false, pg_temp.t(o, 45), pg_temp.t(o, 45)
FROM (SELECT i, 1 + (i - 1) / 3 AS o, 1 + pg_temp.r(i, 51, pg_temp.n(1500)) AS p, (1 + pg_temp.r(i, 52, 40))::numeric AS qty,
             pg_temp.money(i, 53, 900) AS price FROM generate_series(1, pg_temp.n(4000) * 3) i) lines;

INSERT INTO purchase_order (partner_id, currency_id, user_id, company_id, name, partner_ref, state, invoice_status, amount_untaxed,
    amount_tax, amount_total, date_order, date_approve, date_planned, create_uid, write_uid, create_date, write_date)
SELECT 1 + pg_temp.r(i, 60, pg_temp.n(2500)), 1, 1, 1, 'P' || lpad(i::text, 5, '0'), 'V-' || i * 13,
    pg_temp.pick(i, 61, 'draft', 'purchase', 'purchase', 'done'), 'no', amount, round(amount * 0.19, 2),
    amount + round(amount * 0.19, 2), pg_temp.t(i, 62), pg_temp.t(i, 62), pg_temp.t(i, 62) + interval '9 days', 1, 1,
    pg_temp.t(i, 62), pg_temp.t(i, 62)
FROM (SELECT i, pg_temp.money(i, 63, 20000) AS amount FROM generate_series(1, pg_temp.n(1200)) i) orders;
INSERT INTO purchase_order_line (order_id, sequence, product_id, product_uom, company_id, currency_id, name, state, product_qty,
    product_uom_qty, price_unit, price_subtotal, price_total, price_tax, qty_received, qty_invoiced, date_planned, create_date,
    write_date)
SELECT o, 10, p, 1, 1, 1, 'Part ' || p, 'purchase', qty, qty, price, qty * price, round(qty * price * 1.19, 2),
    qty * price * 0.19, qty, 0, pg_temp.t(o, 62), pg_temp.t(o, 62), pg_temp.t(o, 62)
FROM (SELECT i, 1 + (i - 1) / 3 AS o, 1 + pg_temp.r(i, 64, pg_temp.n(1500)) AS p, (1 + pg_temp.r(i, 65, 200))::numeric AS qty,
             pg_temp.money(i, 66, 500) AS price FROM generate_series(1, pg_temp.n(1200) * 3) i) lines;

INSERT INTO account_account (company_id, code, name, account_type, internal_group, deprecated, reconcile, include_initial_balance)
SELECT 1, (1000 + i * 10)::text, jsonb_build_object('en_US', 'Account ' || i, 'de_DE', 'Konto ' || i),
    (ARRAY['asset_receivable', 'income', 'expense', 'liability_payable'])[1 + i % 4],
    (ARRAY['asset', 'income', 'expense', 'liability'])[1 + i % 4], false, i % 4 IN (0, 3), i % 4 IN (0, 3)
FROM generate_series(1, 160) i;
INSERT INTO account_journal (name, code, type, company_id, default_account_id, sequence, active, restrict_mode_hash_table)
VALUES ('{"en_US": "Customer Invoices", "de_DE": "Ausgangsrechnungen"}', 'INV', 'sale', 1, 1, 5, true, false),
       ('{"en_US": "Vendor Bills"}', 'BILL', 'purchase', 1, 2, 6, true, false),
       ('{"en_US": "Bank"}', 'BNK1', 'bank', 1, 3, 7, true, false);

INSERT INTO account_move (sequence_number, journal_id, company_id, partner_id, commercial_partner_id, currency_id, create_uid,
    write_uid, name, ref, state, move_type, auto_post, sequence_prefix, payment_reference, payment_state, invoice_origin,
    invoice_partner_display_name, date, invoice_date, invoice_date_due, amount_untaxed, amount_tax, amount_total,
    amount_residual, amount_total_signed, posted_before, create_date, write_date)
SELECT i, 1, 1, p, p, 1, 1, 1, 'INV/2026/' || lpad(i::text, 5, '0'), NULL, 'posted', 'out_invoice', 'no', 'INV/2026/',
    'INV/2026/' || lpad(i::text, 5, '0'), pg_temp.pick(i, 71, 'paid', 'not_paid', 'partial'), 'S' || lpad(i::text, 5, '0'),
    'Partner ' || p, pg_temp.t(i, 72)::date, pg_temp.t(i, 72)::date, pg_temp.t(i, 72)::date + 30, net, tax, net + tax,
    CASE WHEN i % 3 = 0 THEN net + tax ELSE 0 END, net + tax, true, pg_temp.t(i, 72), pg_temp.t(i, 72)
FROM (SELECT i, 1 + pg_temp.r(i, 70, pg_temp.n(2500)) AS p, pg_temp.money(i, 73, 9000) AS net,
             round(pg_temp.money(i, 73, 9000) * 0.19, 2) AS tax FROM generate_series(1, pg_temp.n(4000)) i) moves;

INSERT INTO account_move_line (move_id, journal_id, company_id, company_currency_id, sequence, account_id, currency_id, partner_id,
    create_uid, write_uid, move_name, parent_state, name, display_type, date, invoice_date, date_maturity, debit, credit, balance,
    amount_currency, amount_residual, quantity, price_unit, price_subtotal, price_total, discount, reconciled,
    analytic_distribution, create_date, write_date)
SELECT m.id, 1, 1, 1, 100 * k, 4 + k + m.id % 150, 1, m.partner_id, 1, 1, m.name, 'posted', m.payment_reference,
    (ARRAY['product', 'tax', 'payment_term'])[k], m.date, m.invoice_date, m.invoice_date_due, greatest(amount, 0),
    greatest(-amount, 0), amount, amount, CASE k WHEN 3 THEN m.amount_residual ELSE 0 END, 1, abs(amount), abs(amount), abs(amount),
    0, false, CASE WHEN k = 1 AND m.id % 4 = 0 THEN jsonb_build_object((1 + m.id % 9)::text, 100.0) END, m.create_date, m.write_date
FROM account_move m, generate_series(1, 3) k,
    LATERAL (SELECT CASE k WHEN 1 THEN -m.amount_untaxed WHEN 2 THEN -m.amount_tax ELSE m.amount_total END AS amount) a;

INSERT INTO stock_lot (name, product_id, company_id, create_date, write_date)
SELECT 'LOT' || lpad(i::text, 7, '0'), 1 + pg_temp.r(i, 80, pg_temp.n(1500)), 1, pg_temp.t(i, 81), pg_temp.t(i, 81)
FROM generate_series(1, pg_temp.n(2000)) i;
INSERT INTO stock_quant (product_id, company_id, location_id, lot_id, quantity, reserved_quantity, in_date, create_date, write_date)
SELECT 1 + pg_temp.r(i, 82, pg_temp.n(1500)), 1, 4 + pg_temp.r(i, 83, 56), CASE WHEN i % 2 = 0 THEN 1 + i % pg_temp.n(2000) END,
    round(pg_temp.r(i, 84, 100000)::numeric / 100, 2), 0, pg_temp.t(i, 85), pg_temp.t(i, 85), pg_temp.t(i, 85)
FROM generate_series(1, pg_temp.n(5000)) i;
INSERT INTO stock_picking (name, origin, state, move_type, priority, location_id, location_dest_id, partner_id, company_id, sale_id,
    is_locked, has_deadline_issue, scheduled_date, date_deadline, date_done, create_date, write_date)
SELECT 'WH/OUT/' || lpad(id::text, 5, '0'), name, pg_temp.pick(id, 86, 'assigned', 'done', 'done', 'cancel'), 'direct', '0', 4, 2,
    partner_id, 1, id, true, false, date_order + interval '3 days', date_order + interval '5 days', NULL, create_date, write_date
FROM sale_order WHERE state = 'sale';

INSERT INTO mrp_workcenter (name, code, active, company_id, time_efficiency, default_capacity, oee_target, time_start, time_stop,
    costs_hour, working_state)
SELECT pg_temp.pick(i, 90, 'Milling', 'Turning', 'Grinding', 'Assembly', 'Injection moulding') || ' ' || i, 'WC' || i, true, 1, 100, 1, 90,
    5, 3.5, 40 + i, 'normal' FROM generate_series(1, 14) i;
INSERT INTO mrp_bom (product_tmpl_id, product_uom_id, company_id, code, type, ready_to_produce, consumption, product_qty, sequence,
    active, create_date, write_date)
SELECT i, 1, 1, 'BOM-' || i, 'normal', 'asap', 'warning', 1.0, 1, true, pg_temp.t(i, 91), pg_temp.t(i, 91)
FROM generate_series(1, pg_temp.n(600)) i;
INSERT INTO mrp_bom_line (bom_id, product_id, product_uom_id, company_id, sequence, product_qty, manual_consumption, create_date,
    write_date)
SELECT 1 + (i - 1) / 5, 1 + pg_temp.r(i, 92, pg_temp.n(1500)), 1, 1, i % 5, 1 + pg_temp.r(i, 93, 12), false, pg_temp.t(i, 94), pg_temp.t(i, 94)
FROM generate_series(1, pg_temp.n(600) * 5) i;
INSERT INTO mrp_production (name, origin, state, priority, product_id, product_uom_id, bom_id, company_id, location_src_id,
    location_dest_id, product_qty, qty_producing, product_uom_qty, consumption, is_locked, date_start, date_finished, create_date,
    write_date)
SELECT 'WH/MO/' || lpad(i::text, 5, '0'), NULL, pg_temp.pick(i, 95, 'confirmed', 'progress', 'done', 'done'), '0', b, 1, b, 1, 4, 5,
    qty, qty, qty, 'warning', true, pg_temp.t(i, 96), pg_temp.t(i, 96) + interval '6 hours', pg_temp.t(i, 96), pg_temp.t(i, 96)
FROM (SELECT i, 1 + pg_temp.r(i, 97, pg_temp.n(600)) AS b, 1 + pg_temp.r(i, 98, 500) AS qty
      FROM generate_series(1, pg_temp.n(1500)) i) productions;
INSERT INTO mrp_workorder (name, state, production_id, workcenter_id, product_id, product_uom_id, qty_produced, duration_expected,
    duration, duration_percent, costs_hour, date_start, date_finished, create_date, write_date)
SELECT 'Operation ' || i % 3, 'done', p, 1 + pg_temp.r(i, 99, 14), NULL, 1, 1, 60, (pg_temp.r(i, 100, 9000))::double precision / 100, 0, 40,
    pg_temp.t(p, 96), pg_temp.t(p, 96) + interval '2 hours', pg_temp.t(p, 96), pg_temp.t(p, 96)
FROM (SELECT i, 1 + (i - 1) / 3 AS p FROM generate_series(1, pg_temp.n(1500) * 3) i) orders;

INSERT INTO stock_move (sequence, company_id, product_id, product_uom, location_id, location_dest_id, picking_id, sale_line_id,
    create_uid, write_uid, name, priority, state, procure_method, reference, product_qty, product_uom_qty, quantity, price_unit,
    scrapped, picked, date, create_date, write_date)
SELECT 10, 1, l.product_id, 1, 4, 2, p.id, l.id, 1, 1, l.name, '0', p.state, 'make_to_stock', p.name, l.product_uom_qty,
    l.product_uom_qty, l.product_uom_qty, l.price_unit, false, true, p.scheduled_date, p.create_date, p.write_date
FROM stock_picking p JOIN sale_order_line l ON l.order_id = p.sale_id ORDER BY l.id;
INSERT INTO stock_move (sequence, company_id, product_id, product_uom, location_id, location_dest_id, raw_material_production_id,
    create_uid, write_uid, name, priority, state, procure_method, reference, product_qty, product_uom_qty, quantity, price_unit,
    scrapped, picked, date, create_date, write_date)
SELECT 10, 1, b.product_id, 1, 4, 3, m.id, 1, 1, m.name, '0', 'done', 'make_to_stock', m.name, m.product_qty * b.product_qty,
    m.product_qty * b.product_qty, m.product_qty * b.product_qty, 0.1 * b.id, false, true, m.date_start, m.create_date, m.write_date
FROM mrp_production m JOIN mrp_bom_line b ON b.bom_id = m.bom_id ORDER BY m.id, b.id;

INSERT INTO mail_message (res_id, author_id, create_uid, write_uid, model, message_type, email_from, message_id, body, is_internal,
    date, create_date, write_date)
SELECT 1 + pg_temp.r(i, 110, pg_temp.n(4000)), 3, 1, 1, 'sale.order', 'comment', 'office@example.com',
    '<' || i || '.' || encode(substring(sha256(('m' || i)::bytea) FOR 8), 'hex') || '@example.com>',
    '<p>' || repeat(pg_temp.pick(i, 111, 'Please confirm. ', 'Delivery moved. ', 'Drawing revised. ', 'Quality released. '),
                    1 + pg_temp.r(i, 112, 9)) || '</p>', false, pg_temp.t(i, 113), pg_temp.t(i, 113), pg_temp.t(i, 113)
FROM generate_series(1, pg_temp.n(5000)) i;

INSERT INTO ir_module_module (name, shortdesc, author, latest_version, state, license, application)
SELECT name, jsonb_build_object('en_US', name), 'Odoo S.A.', '17.0.1.3', 'installed', 'LGPL-3', true
FROM unnest(ARRAY['base', 'web', 'mail', 'sale', 'sale_stock', 'purchase', 'account', 'stock', 'mrp', 'quality']) name;
INSERT INTO ir_sequence (name, code, prefix, implementation, padding, number_next, number_increment, company_id, active)
VALUES ('Sales Order', 'sale.order', 'S', 'standard', 5, 1, 1, 1, true), ('Production', 'mrp.production', 'WH/MO/', 'standard', 5, 1, 1, 1, true);
INSERT INTO ir_cron (cron_name, user_id, active, interval_number, interval_type, numbercall, doall, nextcall, priority)
VALUES ('Mail: Email Queue Manager', 1, true, 1, 'hours', -1, false, current_setting('demo.now')::timestamp + interval '1 hour', 5),
       ('Procurement: run scheduler', 1, true, 1, 'days', -1, false, current_setting('demo.now')::timestamp + interval '1 day', 5),
       ('Base: Auto-vacuum internal data', 1, true, 1, 'days', -1, false, current_setting('demo.now')::timestamp + interval '1 day', 3);
INSERT INTO ir_mail_server (name, smtp_host, smtp_port, smtp_encryption, smtp_user, smtp_pass, smtp_authentication, sequence, active)
VALUES ('Outgoing', 'smtp.example.com', 587, 'starttls', 'erp@example.com', 'not-a-real-password', 'login', 10, true);
INSERT INTO ir_config_parameter (key, value)
VALUES ('web.base.url', 'https://erp.example.com'), ('mail.catchall.domain', 'example.com'), ('ir_attachment.location', 'file');

-- Numbers are given by sequences of Odoo's own kind too (ir.sequence, implementation standard).
CREATE SEQUENCE ir_sequence_001 OWNED BY NONE;
CREATE SEQUENCE ir_sequence_002 OWNED BY NONE;
SELECT setval('ir_sequence_001', (SELECT count(*) FROM sale_order)), setval('ir_sequence_002', (SELECT count(*) FROM mrp_production));
REFRESH MATERIALIZED VIEW x_bi_sql_view_stock_by_location;
