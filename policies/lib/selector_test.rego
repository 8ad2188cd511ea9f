package guardian.lib.selector_test

import future.keywords.not

import data.guardian.lib.selector

labels := {"app": "odoo", "tier": "web"}

test_selector_selects_by_labels_and_expressions if {
	every chosen in [
		{},
		{"matchLabels": null, "matchExpressions": null},
		{"matchLabels": {}, "matchExpressions": []},
		{"matchLabels": {"app": "odoo"}},
		{"matchLabels": {"app": "odoo", "tier": "web"}},
		{"matchExpressions": [{"key": "app", "operator": "In", "values": ["crm", "odoo"]}]},
		{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["crm"]}]},
		{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]},
		{"matchExpressions": [{"key": "app", "operator": "Exists"}]},
		{"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]},
	] {
		selector.matches(chosen, labels)
	}
}

test_selector_does_not_select_what_differs_in_anything if {
	every chosen in [
		{"matchLabels": {"app": "crm"}},
		{"matchLabels": {"app": "odoo", "zone": "a"}},
		{"matchLabels": {"app": "odoo"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
		{"matchExpressions": [{"key": "app", "operator": "In", "values": ["crm"]}]},
		{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
		{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["odoo"]}]},
		{"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
		{"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "zone", "operator": "Exists"}]},
	] {
		not selector.matches(chosen, labels)
	}
}

test_null_and_garbled_selectors_select_nothing if {
	every chosen in [
		null,
		"x",
		[],
		{"matchLabels": "x"},
		{"matchExpressions": {"key": "app"}},
		{"matchExpressions": [{"key": "app", "operator": "Like", "values": ["odoo"]}]},
		{"matchExpressions": [{"key": "app", "operator": "NotIn"}]},
		{"matchExpressions": [{"operator": "DoesNotExist"}]},
		{"matchExpressions": ["x"]},
	] {
		not selector.matches(chosen, labels)
	}
}

test_candidates_are_those_of_the_rarest_pair if {
	listed := {"app=odoo": {"a", "b", "c"}, "tier=web": {"b"}}
	selector.listings(labels) == {"app=odoo", "tier=web"}
	selector.candidates({"matchLabels": labels}, listed, {"a", "b", "c", "d"}) == {"b"}
	selector.candidates({"matchLabels": {"app": "crm"}}, listed, {"a"}) == set()
	selector.candidates({}, listed, {"a", "d"}) == {"a", "d"}
	selector.candidates({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, listed, {"a", "d"}) == {"a", "d"}
}
