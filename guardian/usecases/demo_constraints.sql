-- Keys, checks and indexes of the demo's database, added after the rows; names as Odoo gives them.

ALTER TABLE ir_config_parameter ADD CONSTRAINT ir_config_parameter_pkey PRIMARY KEY (id);
ALTER TABLE ir_module_module ADD CONSTRAINT ir_module_module_pkey PRIMARY KEY (id);
ALTER TABLE ir_sequence ADD CONSTRAINT ir_sequence_pkey PRIMARY KEY (id);
ALTER TABLE ir_cron ADD CONSTRAINT ir_cron_pkey PRIMARY KEY (id);
ALTER TABLE ir_mail_server ADD CONSTRAINT ir_mail_server_pkey PRIMARY KEY (id);
ALTER TABLE ir_attachment ADD CONSTRAINT ir_attachment_pkey PRIMARY KEY (id);
ALTER TABLE res_currency ADD CONSTRAINT res_currency_pkey PRIMARY KEY (id);
ALTER TABLE res_country ADD CONSTRAINT res_country_pkey PRIMARY KEY (id);
ALTER TABLE res_company ADD CONSTRAINT res_company_pkey PRIMARY KEY (id);
ALTER TABLE res_partner ADD CONSTRAINT res_partner_pkey PRIMARY KEY (id);
ALTER TABLE res_users ADD CONSTRAINT res_users_pkey PRIMARY KEY (id);
ALTER TABLE res_groups ADD CONSTRAINT res_groups_pkey PRIMARY KEY (id);
ALTER TABLE uom_uom ADD CONSTRAINT uom_uom_pkey PRIMARY KEY (id);
ALTER TABLE product_category ADD CONSTRAINT product_category_pkey PRIMARY KEY (id);
ALTER TABLE product_template ADD CONSTRAINT product_template_pkey PRIMARY KEY (id);
ALTER TABLE product_product ADD CONSTRAINT product_product_pkey PRIMARY KEY (id);
ALTER TABLE sale_order ADD CONSTRAINT sale_order_pkey PRIMARY KEY (id);
ALTER TABLE sale_order_line ADD CONSTRAINT sale_order_line_pkey PRIMARY KEY (id);
ALTER TABLE purchase_order ADD CONSTRAINT purchase_order_pkey PRIMARY KEY (id);
ALTER TABLE purchase_order_line ADD CONSTRAINT purchase_order_line_pkey PRIMARY KEY (id);
ALTER TABLE account_account ADD CONSTRAINT account_account_pkey PRIMARY KEY (id);
ALTER TABLE account_journal ADD CONSTRAINT account_journal_pkey PRIMARY KEY (id);
ALTER TABLE account_move ADD CONSTRAINT account_move_pkey PRIMARY KEY (id);
ALTER TABLE account_move_line ADD CONSTRAINT account_move_line_pkey PRIMARY KEY (id);
ALTER TABLE stock_location ADD CONSTRAINT stock_location_pkey PRIMARY KEY (id);
ALTER TABLE stock_warehouse ADD CONSTRAINT stock_warehouse_pkey PRIMARY KEY (id);
ALTER TABLE stock_lot ADD CONSTRAINT stock_lot_pkey PRIMARY KEY (id);
ALTER TABLE stock_quant ADD CONSTRAINT stock_quant_pkey PRIMARY KEY (id);
ALTER TABLE stock_picking ADD CONSTRAINT stock_picking_pkey PRIMARY KEY (id);
ALTER TABLE mrp_workcenter ADD CONSTRAINT mrp_workcenter_pkey PRIMARY KEY (id);
ALTER TABLE mrp_bom ADD CONSTRAINT mrp_bom_pkey PRIMARY KEY (id);
ALTER TABLE mrp_bom_line ADD CONSTRAINT mrp_bom_line_pkey PRIMARY KEY (id);
ALTER TABLE mrp_production ADD CONSTRAINT mrp_production_pkey PRIMARY KEY (id);
ALTER TABLE mrp_workorder ADD CONSTRAINT mrp_workorder_pkey PRIMARY KEY (id);
ALTER TABLE stock_move ADD CONSTRAINT stock_move_pkey PRIMARY KEY (id);
ALTER TABLE mail_message ADD CONSTRAINT mail_message_pkey PRIMARY KEY (id);
ALTER TABLE ir_config_parameter
    ADD CONSTRAINT ir_config_parameter_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT ir_config_parameter_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE ir_sequence
    ADD CONSTRAINT ir_sequence_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL;
ALTER TABLE ir_cron
    ADD CONSTRAINT ir_cron_user_id_fkey FOREIGN KEY (user_id) REFERENCES res_users ON DELETE RESTRICT;
ALTER TABLE ir_attachment
    ADD CONSTRAINT ir_attachment_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT ir_attachment_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT ir_attachment_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE res_country
    ADD CONSTRAINT res_country_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE SET NULL;
ALTER TABLE res_company
    ADD CONSTRAINT res_company_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE RESTRICT,
    ADD CONSTRAINT res_company_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE RESTRICT,
    ADD CONSTRAINT res_company_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES res_company ON DELETE SET NULL;
ALTER TABLE res_partner
    ADD CONSTRAINT res_partner_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT res_partner_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT res_partner_user_id_fkey FOREIGN KEY (user_id) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT res_partner_country_id_fkey FOREIGN KEY (country_id) REFERENCES res_country ON DELETE SET NULL,
    ADD CONSTRAINT res_partner_commercial_partner_id_fkey FOREIGN KEY (commercial_partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT res_partner_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT res_partner_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE res_users
    ADD CONSTRAINT res_users_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT res_users_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE RESTRICT,
    ADD CONSTRAINT res_users_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT res_users_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE res_groups_users_rel
    ADD CONSTRAINT res_groups_users_rel_gid_fkey FOREIGN KEY (gid) REFERENCES res_groups ON DELETE CASCADE,
    ADD CONSTRAINT res_groups_users_rel_uid_fkey FOREIGN KEY (uid) REFERENCES res_users ON DELETE CASCADE;
ALTER TABLE product_category
    ADD CONSTRAINT product_category_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES product_category ON DELETE SET NULL;
ALTER TABLE product_template
    ADD CONSTRAINT product_template_categ_id_fkey FOREIGN KEY (categ_id) REFERENCES product_category ON DELETE RESTRICT,
    ADD CONSTRAINT product_template_uom_id_fkey FOREIGN KEY (uom_id) REFERENCES uom_uom ON DELETE RESTRICT,
    ADD CONSTRAINT product_template_uom_po_id_fkey FOREIGN KEY (uom_po_id) REFERENCES uom_uom ON DELETE RESTRICT,
    ADD CONSTRAINT product_template_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT product_template_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT product_template_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE product_product
    ADD CONSTRAINT product_product_product_tmpl_id_fkey FOREIGN KEY (product_tmpl_id) REFERENCES product_template ON DELETE RESTRICT,
    ADD CONSTRAINT product_product_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT product_product_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE sale_order
    ADD CONSTRAINT sale_order_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT sale_order_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE RESTRICT,
    ADD CONSTRAINT sale_order_partner_invoice_id_fkey FOREIGN KEY (partner_invoice_id) REFERENCES res_partner ON DELETE RESTRICT,
    ADD CONSTRAINT sale_order_partner_shipping_id_fkey FOREIGN KEY (partner_shipping_id) REFERENCES res_partner ON DELETE RESTRICT,
    ADD CONSTRAINT sale_order_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_user_id_fkey FOREIGN KEY (user_id) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_warehouse_id_fkey FOREIGN KEY (warehouse_id) REFERENCES stock_warehouse ON DELETE SET NULL;
ALTER TABLE sale_order_line
    ADD CONSTRAINT sale_order_line_order_id_fkey FOREIGN KEY (order_id) REFERENCES sale_order ON DELETE CASCADE,
    ADD CONSTRAINT sale_order_line_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_line_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_line_order_partner_id_fkey FOREIGN KEY (order_partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_line_salesman_id_fkey FOREIGN KEY (salesman_id) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_line_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_line_product_uom_fkey FOREIGN KEY (product_uom) REFERENCES uom_uom ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_line_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT sale_order_line_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE purchase_order
    ADD CONSTRAINT purchase_order_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE RESTRICT,
    ADD CONSTRAINT purchase_order_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE RESTRICT,
    ADD CONSTRAINT purchase_order_user_id_fkey FOREIGN KEY (user_id) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT purchase_order_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT purchase_order_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT purchase_order_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE purchase_order_line
    ADD CONSTRAINT purchase_order_line_order_id_fkey FOREIGN KEY (order_id) REFERENCES purchase_order ON DELETE CASCADE,
    ADD CONSTRAINT purchase_order_line_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE SET NULL,
    ADD CONSTRAINT purchase_order_line_product_uom_fkey FOREIGN KEY (product_uom) REFERENCES uom_uom ON DELETE SET NULL,
    ADD CONSTRAINT purchase_order_line_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT purchase_order_line_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT purchase_order_line_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE SET NULL;
ALTER TABLE account_account
    ADD CONSTRAINT account_account_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT account_account_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE SET NULL;
ALTER TABLE account_journal
    ADD CONSTRAINT account_journal_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT account_journal_default_account_id_fkey FOREIGN KEY (default_account_id) REFERENCES account_account ON DELETE SET NULL;
ALTER TABLE account_move
    ADD CONSTRAINT account_move_journal_id_fkey FOREIGN KEY (journal_id) REFERENCES account_journal ON DELETE RESTRICT,
    ADD CONSTRAINT account_move_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT account_move_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT account_move_commercial_partner_id_fkey FOREIGN KEY (commercial_partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT account_move_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE RESTRICT,
    ADD CONSTRAINT account_move_invoice_user_id_fkey FOREIGN KEY (invoice_user_id) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT account_move_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT account_move_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE account_move_line
    ADD CONSTRAINT account_move_line_move_id_fkey FOREIGN KEY (move_id) REFERENCES account_move ON DELETE CASCADE,
    ADD CONSTRAINT account_move_line_journal_id_fkey FOREIGN KEY (journal_id) REFERENCES account_journal ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_company_currency_id_fkey FOREIGN KEY (company_currency_id) REFERENCES res_currency ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_account_id_fkey FOREIGN KEY (account_id) REFERENCES account_account ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_currency_id_fkey FOREIGN KEY (currency_id) REFERENCES res_currency ON DELETE RESTRICT,
    ADD CONSTRAINT account_move_line_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_product_uom_id_fkey FOREIGN KEY (product_uom_id) REFERENCES uom_uom ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT account_move_line_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE stock_location
    ADD CONSTRAINT stock_location_location_id_fkey FOREIGN KEY (location_id) REFERENCES stock_location ON DELETE SET NULL,
    ADD CONSTRAINT stock_location_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL;
ALTER TABLE stock_warehouse
    ADD CONSTRAINT stock_warehouse_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT stock_warehouse_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT stock_warehouse_lot_stock_id_fkey FOREIGN KEY (lot_stock_id) REFERENCES stock_location ON DELETE RESTRICT;
ALTER TABLE stock_lot
    ADD CONSTRAINT stock_lot_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE RESTRICT,
    ADD CONSTRAINT stock_lot_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT;
ALTER TABLE stock_quant
    ADD CONSTRAINT stock_quant_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE RESTRICT,
    ADD CONSTRAINT stock_quant_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT stock_quant_location_id_fkey FOREIGN KEY (location_id) REFERENCES stock_location ON DELETE RESTRICT,
    ADD CONSTRAINT stock_quant_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES stock_lot ON DELETE SET NULL;
ALTER TABLE stock_picking
    ADD CONSTRAINT stock_picking_location_id_fkey FOREIGN KEY (location_id) REFERENCES stock_location ON DELETE RESTRICT,
    ADD CONSTRAINT stock_picking_location_dest_id_fkey FOREIGN KEY (location_dest_id) REFERENCES stock_location ON DELETE RESTRICT,
    ADD CONSTRAINT stock_picking_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT stock_picking_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL,
    ADD CONSTRAINT stock_picking_sale_id_fkey FOREIGN KEY (sale_id) REFERENCES sale_order ON DELETE SET NULL,
    ADD CONSTRAINT stock_picking_user_id_fkey FOREIGN KEY (user_id) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE mrp_workcenter
    ADD CONSTRAINT mrp_workcenter_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL;
ALTER TABLE mrp_bom
    ADD CONSTRAINT mrp_bom_product_tmpl_id_fkey FOREIGN KEY (product_tmpl_id) REFERENCES product_template ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_bom_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE SET NULL,
    ADD CONSTRAINT mrp_bom_product_uom_id_fkey FOREIGN KEY (product_uom_id) REFERENCES uom_uom ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_bom_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL;
ALTER TABLE mrp_bom_line
    ADD CONSTRAINT mrp_bom_line_bom_id_fkey FOREIGN KEY (bom_id) REFERENCES mrp_bom ON DELETE CASCADE,
    ADD CONSTRAINT mrp_bom_line_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_bom_line_product_tmpl_id_fkey FOREIGN KEY (product_tmpl_id) REFERENCES product_template ON DELETE SET NULL,
    ADD CONSTRAINT mrp_bom_line_product_uom_id_fkey FOREIGN KEY (product_uom_id) REFERENCES uom_uom ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_bom_line_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE SET NULL;
ALTER TABLE mrp_production
    ADD CONSTRAINT mrp_production_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_production_product_uom_id_fkey FOREIGN KEY (product_uom_id) REFERENCES uom_uom ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_production_bom_id_fkey FOREIGN KEY (bom_id) REFERENCES mrp_bom ON DELETE SET NULL,
    ADD CONSTRAINT mrp_production_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_production_location_src_id_fkey FOREIGN KEY (location_src_id) REFERENCES stock_location ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_production_location_dest_id_fkey FOREIGN KEY (location_dest_id) REFERENCES stock_location ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_production_lot_producing_id_fkey FOREIGN KEY (lot_producing_id) REFERENCES stock_lot ON DELETE SET NULL,
    ADD CONSTRAINT mrp_production_user_id_fkey FOREIGN KEY (user_id) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE mrp_workorder
    ADD CONSTRAINT mrp_workorder_production_id_fkey FOREIGN KEY (production_id) REFERENCES mrp_production ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_workorder_workcenter_id_fkey FOREIGN KEY (workcenter_id) REFERENCES mrp_workcenter ON DELETE RESTRICT,
    ADD CONSTRAINT mrp_workorder_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE SET NULL,
    ADD CONSTRAINT mrp_workorder_product_uom_id_fkey FOREIGN KEY (product_uom_id) REFERENCES uom_uom ON DELETE RESTRICT;
ALTER TABLE stock_move
    ADD CONSTRAINT stock_move_company_id_fkey FOREIGN KEY (company_id) REFERENCES res_company ON DELETE RESTRICT,
    ADD CONSTRAINT stock_move_product_id_fkey FOREIGN KEY (product_id) REFERENCES product_product ON DELETE RESTRICT,
    ADD CONSTRAINT stock_move_product_uom_fkey FOREIGN KEY (product_uom) REFERENCES uom_uom ON DELETE RESTRICT,
    ADD CONSTRAINT stock_move_location_id_fkey FOREIGN KEY (location_id) REFERENCES stock_location ON DELETE RESTRICT,
    ADD CONSTRAINT stock_move_location_dest_id_fkey FOREIGN KEY (location_dest_id) REFERENCES stock_location ON DELETE RESTRICT,
    ADD CONSTRAINT stock_move_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT stock_move_picking_id_fkey FOREIGN KEY (picking_id) REFERENCES stock_picking ON DELETE SET NULL,
    ADD CONSTRAINT stock_move_production_id_fkey FOREIGN KEY (production_id) REFERENCES mrp_production ON DELETE SET NULL,
    ADD CONSTRAINT stock_move_raw_material_production_id_fkey FOREIGN KEY (raw_material_production_id) REFERENCES mrp_production ON DELETE SET NULL,
    ADD CONSTRAINT stock_move_sale_line_id_fkey FOREIGN KEY (sale_line_id) REFERENCES sale_order_line ON DELETE SET NULL,
    ADD CONSTRAINT stock_move_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT stock_move_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;
ALTER TABLE mail_message
    ADD CONSTRAINT mail_message_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES mail_message ON DELETE SET NULL,
    ADD CONSTRAINT mail_message_author_id_fkey FOREIGN KEY (author_id) REFERENCES res_partner ON DELETE SET NULL,
    ADD CONSTRAINT mail_message_create_uid_fkey FOREIGN KEY (create_uid) REFERENCES res_users ON DELETE SET NULL,
    ADD CONSTRAINT mail_message_write_uid_fkey FOREIGN KEY (write_uid) REFERENCES res_users ON DELETE SET NULL;

ALTER TABLE res_groups_users_rel ADD CONSTRAINT res_groups_users_rel_pkey PRIMARY KEY (gid, uid);
ALTER TABLE ir_config_parameter ADD CONSTRAINT ir_config_parameter_key_uniq UNIQUE (key);
ALTER TABLE ir_module_module ADD CONSTRAINT ir_module_module_name_uniq UNIQUE (name);
ALTER TABLE res_users ADD CONSTRAINT res_users_login_key UNIQUE (login);
ALTER TABLE res_country ADD CONSTRAINT res_country_code_uniq UNIQUE (code);
ALTER TABLE res_currency
    ADD CONSTRAINT res_currency_unique_name UNIQUE (name),
    ADD CONSTRAINT res_currency_rounding_gt_zero CHECK (rounding > 0);
ALTER TABLE res_company ADD CONSTRAINT res_company_name_uniq UNIQUE (name);
ALTER TABLE res_partner
    ADD CONSTRAINT res_partner_check_name CHECK ((type = 'contact' AND name IS NOT NULL) OR type <> 'contact');
ALTER TABLE account_move_line
    ADD CONSTRAINT account_move_line_check_credit_debit CHECK
        (display_type IN ('line_section', 'line_note') OR credit * debit = 0),
    ADD CONSTRAINT account_move_line_check_amount_currency_balance_sign CHECK
        (display_type IN ('line_section', 'line_note')
         OR (balance <= 0 AND amount_currency <= 0) OR (balance >= 0 AND amount_currency >= 0));
ALTER TABLE mrp_bom ADD CONSTRAINT mrp_bom_qty_positive CHECK (product_qty > 0);
ALTER TABLE mrp_bom_line ADD CONSTRAINT mrp_bom_line_bom_qty_zero CHECK (product_qty >= 0);
ALTER TABLE mrp_production
    ADD CONSTRAINT mrp_production_name_uniq UNIQUE (name, company_id),
    ADD CONSTRAINT mrp_production_qty_positive CHECK (product_qty > 0);
ALTER TABLE sale_order
    ADD CONSTRAINT sale_order_date_order_conditional_required CHECK
        ((state = 'sale' AND date_order IS NOT NULL) OR state <> 'sale');

CREATE INDEX ir_attachment_res_idx ON ir_attachment (res_model, res_id);
CREATE INDEX ir_attachment_checksum_index ON ir_attachment (checksum);
CREATE INDEX ir_attachment_store_fname_index ON ir_attachment (store_fname);
CREATE INDEX res_partner_name_index ON res_partner USING gin (name gin_trgm_ops);
CREATE INDEX res_partner_complete_name_index ON res_partner (complete_name);
CREATE INDEX res_partner_parent_id_index ON res_partner (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX product_product_default_code_index ON product_product (default_code);
CREATE UNIQUE INDEX product_product_combination_unique ON product_product (product_tmpl_id, combination_indices) WHERE active IS TRUE;
CREATE INDEX sale_order_date_order_id_idx ON sale_order (date_order DESC, id DESC);
CREATE INDEX sale_order_name_index ON sale_order USING gin (name gin_trgm_ops);
CREATE INDEX sale_order_line_order_id_index ON sale_order_line (order_id);
CREATE INDEX purchase_order_line_order_id_index ON purchase_order_line (order_id);
CREATE UNIQUE INDEX account_move_unique_name ON account_move (name, journal_id) WHERE state = 'posted' AND name <> '/';
CREATE INDEX account_move_sequence_index ON account_move (journal_id, sequence_prefix DESC, (sequence_number + 1) DESC);
CREATE INDEX account_move_line_move_id_index ON account_move_line (move_id);
CREATE INDEX account_move_line_date_name_id_idx ON account_move_line (date DESC, move_name DESC, id);
CREATE INDEX stock_quant_product_location_idx ON stock_quant (product_id, location_id);
CREATE INDEX stock_move_product_location_index ON stock_move (product_id, location_id, location_dest_id, company_id, state);
CREATE INDEX stock_move_picking_id_index ON stock_move (picking_id) WHERE picking_id IS NOT NULL;
CREATE INDEX mrp_workorder_production_id_index ON mrp_workorder (production_id);
CREATE INDEX mail_message_model_res_id_idx ON mail_message (model, res_id);
