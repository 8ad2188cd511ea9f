-- The demo's database: the tables of an Odoo 17 manufacturing company that matter for a restore, with Odoo's own names
-- and types. Tables only; rows come from demo_rows.sql, keys and indexes (faster after loading) from demo_constraints.sql.

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE TABLE ir_config_parameter (
    id serial, key varchar NOT NULL, value text NOT NULL,
    create_uid integer, create_date timestamp, write_uid integer, write_date timestamp);

CREATE TABLE ir_module_module (
    id serial, name varchar NOT NULL, shortdesc jsonb, author varchar, latest_version varchar, state varchar,
    license varchar, application boolean DEFAULT false, auto_install boolean DEFAULT false, write_date timestamp);

CREATE TABLE ir_sequence (
    id serial, name varchar NOT NULL, code varchar, prefix varchar, suffix varchar, implementation varchar NOT NULL,
    padding integer NOT NULL, number_next integer NOT NULL, number_increment integer NOT NULL, company_id integer,
    active boolean, use_date_range boolean, create_date timestamp, write_date timestamp);

CREATE TABLE ir_cron (
    id serial, ir_actions_server_id integer, cron_name varchar, user_id integer NOT NULL, active boolean,
    interval_number integer, interval_type varchar, numbercall integer, doall boolean, nextcall timestamp NOT NULL,
    lastcall timestamp, priority integer, create_date timestamp, write_date timestamp);

CREATE TABLE ir_mail_server (
    id serial, name varchar NOT NULL, from_filter varchar, smtp_host varchar, smtp_port integer, smtp_encryption varchar,
    smtp_user varchar, smtp_pass varchar, smtp_authentication varchar, sequence integer, active boolean, smtp_debug boolean,
    create_date timestamp, write_date timestamp);

CREATE TABLE ir_attachment (
    id serial, res_id integer, company_id integer, file_size integer, create_uid integer, write_uid integer,
    name varchar NOT NULL, res_model varchar, res_field varchar, type varchar NOT NULL, url varchar(1024),
    access_token varchar, store_fname varchar, checksum varchar(40), mimetype varchar, description text,
    index_content text, public boolean, create_date timestamp, write_date timestamp, db_datas bytea);

CREATE TABLE res_currency (
    id serial, name varchar NOT NULL, symbol varchar NOT NULL, full_name varchar, position varchar, rounding numeric,
    decimal_places integer, currency_unit_label jsonb, active boolean, create_date timestamp, write_date timestamp);

CREATE TABLE res_country (
    id serial, name jsonb NOT NULL, code varchar(2) NOT NULL, address_format text, currency_id integer,
    phone_code integer, zip_required boolean, create_date timestamp, write_date timestamp);

CREATE TABLE res_company (
    id serial, name varchar NOT NULL, partner_id integer NOT NULL, currency_id integer NOT NULL, parent_id integer,
    parent_path varchar, sequence integer, email varchar, phone varchar, active boolean, fiscalyear_last_day integer,
    fiscalyear_last_month varchar, create_date timestamp, write_date timestamp);

CREATE TABLE res_partner (
    id serial, company_id integer, create_date timestamp, name varchar, parent_id integer, user_id integer,
    country_id integer, color integer, commercial_partner_id integer, create_uid integer, write_uid integer,
    complete_name varchar, ref varchar, lang varchar, tz varchar, vat varchar, website varchar, "function" varchar,
    type varchar, street varchar, street2 varchar, zip varchar, city varchar, email varchar, phone varchar, mobile varchar,
    commercial_company_name varchar, date date, comment text, partner_latitude numeric, partner_longitude numeric,
    active boolean, employee boolean, is_company boolean, partner_share boolean, write_date timestamp,
    email_normalized varchar, supplier_rank integer, customer_rank integer);

CREATE TABLE res_users (
    id serial, company_id integer NOT NULL, partner_id integer NOT NULL, active boolean, create_date timestamp,
    login varchar NOT NULL, password varchar, create_uid integer, write_uid integer, signature text, share boolean,
    write_date timestamp, totp_secret varchar, notification_type varchar NOT NULL);

CREATE TABLE res_groups (
    id serial, name jsonb NOT NULL, comment jsonb, share boolean, color integer, create_date timestamp,
    write_date timestamp);

CREATE TABLE res_groups_users_rel (gid integer NOT NULL, uid integer NOT NULL);

CREATE TABLE uom_uom (
    id serial, name jsonb NOT NULL, category_id integer NOT NULL, factor numeric NOT NULL, rounding numeric NOT NULL,
    uom_type varchar NOT NULL, active boolean, create_date timestamp, write_date timestamp);

CREATE TABLE product_category (
    id serial, parent_id integer, name varchar NOT NULL, complete_name varchar, parent_path varchar,
    create_date timestamp, write_date timestamp);

CREATE TABLE product_template (
    id serial, sequence integer, categ_id integer NOT NULL, uom_id integer NOT NULL, uom_po_id integer NOT NULL,
    company_id integer, detailed_type varchar NOT NULL, type varchar, default_code varchar, priority varchar,
    name jsonb NOT NULL, description jsonb, description_sale jsonb, list_price numeric, volume numeric, weight numeric,
    sale_ok boolean, purchase_ok boolean, active boolean, tracking varchar NOT NULL, sale_delay double precision,
    invoice_policy varchar, create_uid integer, write_uid integer, create_date timestamp, write_date timestamp);

CREATE TABLE product_product (
    id serial, product_tmpl_id integer NOT NULL, default_code varchar, barcode varchar, combination_indices varchar,
    standard_price jsonb, volume numeric, weight numeric, active boolean, create_uid integer, write_uid integer,
    create_date timestamp, write_date timestamp);

CREATE TABLE sale_order (
    id serial, company_id integer NOT NULL, partner_id integer NOT NULL, partner_invoice_id integer NOT NULL,
    partner_shipping_id integer NOT NULL, currency_id integer, user_id integer, create_uid integer, write_uid integer,
    access_token varchar, name varchar NOT NULL, state varchar, client_order_ref varchar, origin varchar,
    invoice_status varchar, validity_date date, note text, currency_rate numeric, amount_untaxed numeric,
    amount_tax numeric, amount_total numeric, locked boolean, require_signature boolean, create_date timestamp,
    commitment_date timestamp, date_order timestamp NOT NULL, write_date timestamp, prepayment_percent double precision,
    picking_policy varchar NOT NULL, warehouse_id integer);

CREATE TABLE sale_order_line (
    id serial, order_id integer NOT NULL, sequence integer, company_id integer, currency_id integer,
    order_partner_id integer, salesman_id integer, product_id integer, product_uom integer, create_uid integer,
    write_uid integer, state varchar, display_type varchar, name text NOT NULL, product_uom_qty numeric NOT NULL,
    price_unit numeric NOT NULL, discount numeric, price_subtotal numeric, price_tax double precision,
    price_total numeric, qty_delivered numeric, qty_invoiced numeric, qty_to_invoice numeric, customer_lead double precision
    NOT NULL, is_downpayment boolean, create_date timestamp, write_date timestamp);

CREATE TABLE purchase_order (
    id serial, partner_id integer NOT NULL, currency_id integer NOT NULL, user_id integer, company_id integer NOT NULL,
    name varchar NOT NULL, partner_ref varchar, state varchar, invoice_status varchar, notes text, amount_untaxed numeric,
    amount_tax numeric, amount_total numeric, date_order timestamp NOT NULL, date_approve timestamp, date_planned timestamp,
    create_uid integer, write_uid integer, create_date timestamp, write_date timestamp);

CREATE TABLE purchase_order_line (
    id serial, order_id integer NOT NULL, sequence integer, product_id integer, product_uom integer, company_id integer,
    partner_id integer, currency_id integer, name text NOT NULL, state varchar, product_qty numeric NOT NULL,
    product_uom_qty double precision, price_unit numeric NOT NULL, price_subtotal numeric, price_total numeric,
    price_tax double precision, qty_received numeric, qty_invoiced numeric, date_planned timestamp, create_date timestamp,
    write_date timestamp);

CREATE TABLE account_account (
    id serial, company_id integer NOT NULL, currency_id integer, code varchar(64) NOT NULL, name jsonb NOT NULL,
    account_type varchar NOT NULL, internal_group varchar, note text, deprecated boolean, reconcile boolean,
    include_initial_balance boolean, create_date timestamp, write_date timestamp);

CREATE TABLE account_journal (
    id serial, name jsonb NOT NULL, code varchar(5) NOT NULL, type varchar NOT NULL, company_id integer NOT NULL,
    default_account_id integer, sequence integer, active boolean, restrict_mode_hash_table boolean, create_date timestamp,
    write_date timestamp);

CREATE TABLE account_move (
    id serial, sequence_number integer, journal_id integer NOT NULL, company_id integer, partner_id integer,
    commercial_partner_id integer, currency_id integer NOT NULL, invoice_user_id integer, create_uid integer,
    write_uid integer, name varchar, ref varchar, state varchar NOT NULL, move_type varchar NOT NULL,
    auto_post varchar NOT NULL, inalterable_hash varchar, sequence_prefix varchar, payment_reference varchar,
    payment_state varchar, invoice_origin varchar, invoice_partner_display_name varchar, date date NOT NULL,
    invoice_date date, invoice_date_due date, narration text, amount_untaxed numeric, amount_tax numeric,
    amount_total numeric, amount_residual numeric, amount_total_signed numeric, posted_before boolean,
    create_date timestamp, write_date timestamp);

CREATE TABLE account_move_line (
    id serial, move_id integer NOT NULL, journal_id integer, company_id integer, company_currency_id integer,
    sequence integer, account_id integer, currency_id integer NOT NULL, partner_id integer, product_id integer,
    product_uom_id integer, create_uid integer, write_uid integer, move_name varchar, parent_state varchar, ref varchar,
    name varchar, display_type varchar NOT NULL, date date, invoice_date date, date_maturity date, debit numeric,
    credit numeric, balance numeric, amount_currency numeric, amount_residual numeric, quantity numeric, price_unit numeric,
    price_subtotal numeric, price_total numeric, discount numeric, reconciled boolean, analytic_distribution jsonb,
    create_date timestamp, write_date timestamp);

CREATE TABLE stock_location (
    id serial, location_id integer, company_id integer, name varchar NOT NULL, complete_name varchar,
    usage varchar NOT NULL, parent_path varchar, barcode varchar, active boolean, scrap_location boolean,
    create_date timestamp, write_date timestamp);

CREATE TABLE stock_warehouse (
    id serial, company_id integer NOT NULL, partner_id integer, name varchar NOT NULL, code varchar(5) NOT NULL,
    lot_stock_id integer NOT NULL, reception_steps varchar NOT NULL, delivery_steps varchar NOT NULL, active boolean,
    create_date timestamp, write_date timestamp);

CREATE TABLE stock_lot (
    id serial, name varchar NOT NULL, ref varchar, product_id integer NOT NULL, company_id integer NOT NULL,
    note text, create_date timestamp, write_date timestamp);

CREATE TABLE stock_quant (
    id serial, product_id integer NOT NULL, company_id integer, location_id integer NOT NULL, lot_id integer,
    quantity numeric, reserved_quantity numeric NOT NULL, inventory_quantity numeric, in_date timestamp NOT NULL,
    create_date timestamp, write_date timestamp);

CREATE TABLE stock_picking (
    id serial, name varchar, origin varchar, state varchar, move_type varchar NOT NULL, priority varchar,
    location_id integer NOT NULL, location_dest_id integer NOT NULL, partner_id integer, company_id integer,
    sale_id integer, user_id integer, note text, is_locked boolean, has_deadline_issue boolean, scheduled_date timestamp,
    date_deadline timestamp, date_done timestamp, create_date timestamp, write_date timestamp);

CREATE TABLE mrp_workcenter (
    id serial, name varchar NOT NULL, code varchar, active boolean, company_id integer, time_efficiency double precision,
    default_capacity double precision, oee_target double precision, time_start double precision,
    time_stop double precision, costs_hour double precision, working_state varchar, create_date timestamp,
    write_date timestamp);

CREATE TABLE mrp_bom (
    id serial, product_tmpl_id integer NOT NULL, product_id integer, product_uom_id integer NOT NULL, company_id integer,
    code varchar, type varchar NOT NULL, ready_to_produce varchar NOT NULL, consumption varchar NOT NULL,
    product_qty numeric NOT NULL, sequence integer, active boolean, create_date timestamp, write_date timestamp);

CREATE TABLE mrp_bom_line (
    id serial, bom_id integer NOT NULL, product_id integer NOT NULL, product_tmpl_id integer, product_uom_id integer
    NOT NULL, company_id integer, sequence integer, product_qty numeric NOT NULL, manual_consumption boolean,
    create_date timestamp, write_date timestamp);

CREATE TABLE mrp_production (
    id serial, name varchar, origin varchar, state varchar, priority varchar, product_id integer NOT NULL,
    product_uom_id integer NOT NULL, bom_id integer, company_id integer NOT NULL, location_src_id integer NOT NULL,
    location_dest_id integer NOT NULL, lot_producing_id integer, user_id integer, product_qty numeric NOT NULL,
    qty_producing numeric, product_uom_qty double precision, consumption varchar NOT NULL, reservation_state varchar,
    is_locked boolean, date_start timestamp NOT NULL, date_finished timestamp, date_deadline timestamp,
    create_date timestamp, write_date timestamp);

CREATE TABLE mrp_workorder (
    id serial, name varchar NOT NULL, state varchar, production_id integer NOT NULL, workcenter_id integer NOT NULL,
    product_id integer, product_uom_id integer NOT NULL, qty_produced numeric, duration_expected numeric,
    duration double precision, duration_percent integer, costs_hour double precision, date_start timestamp,
    date_finished timestamp, create_date timestamp, write_date timestamp);

CREATE TABLE stock_move (
    id serial, sequence integer, company_id integer NOT NULL, product_id integer NOT NULL, product_uom integer NOT NULL,
    location_id integer NOT NULL, location_dest_id integer NOT NULL, partner_id integer, picking_id integer,
    production_id integer, raw_material_production_id integer, sale_line_id integer, create_uid integer, write_uid integer,
    name varchar NOT NULL, priority varchar, state varchar, origin varchar, procure_method varchar NOT NULL,
    reference varchar, product_qty numeric, product_uom_qty numeric NOT NULL, quantity numeric, price_unit double precision,
    scrapped boolean, picked boolean, date timestamp NOT NULL, date_deadline timestamp, create_date timestamp,
    write_date timestamp);

CREATE TABLE mail_message (
    id serial, parent_id integer, res_id integer, author_id integer, create_uid integer, write_uid integer,
    subject varchar, model varchar, message_type varchar NOT NULL, email_from varchar, message_id varchar, body text,
    is_internal boolean, date timestamp, create_date timestamp, write_date timestamp);

-- Odoo keeps its reports as views, and the accounting app reads this one.
CREATE VIEW sale_report AS
    SELECT min(l.id) AS id, l.product_id, s.partner_id, s.company_id, s.state, s.date_order, s.name,
           sum(l.product_uom_qty) AS product_uom_qty, sum(l.price_subtotal) AS price_subtotal, count(*) AS nbr
    FROM sale_order_line l JOIN sale_order s ON s.id = l.order_id
    WHERE l.display_type IS NULL
    GROUP BY l.product_id, s.partner_id, s.company_id, s.state, s.date_order, s.name, s.id;

-- What the widely used module bi_sql_editor makes of a user's report.
CREATE MATERIALIZED VIEW x_bi_sql_view_stock_by_location AS
    SELECT q.location_id, l.complete_name AS x_location, count(*) AS x_quants, sum(q.quantity) AS x_quantity
    FROM stock_quant q JOIN stock_location l ON l.id = q.location_id
    GROUP BY q.location_id, l.complete_name
    WITH NO DATA;
