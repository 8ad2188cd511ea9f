package guardian.lib.selector_test

import future.keywords.not

import data.guardian.lib.selector

web := {"app": "web", "tier": "front"}

test_absent_selector_selects_nothing_and_an_empty_one_everything if {
	selector.selects(null, web) == false
	selector.selects({}, web) == true
	selector.selects({}, {}) == true
	selector.selects({"matchLabels": {}, "matchExpressions": []}, {}) == true
	selector.selects({"matchLabels": null, "matchExpressions": null}, {}) == true
}

test_all_labels_must_match if {
	selector.selects({"matchLabels": {"app": "web"}}, web) == true
	selector.selects({"matchLabels": {"app": "web", "tier": "front"}}, web) == true
	selector.selects({"matchLabels": {"app": "web", "tier": "back"}}, web) == false
	selector.selects({"matchLabels": {"app": "web"}}, {}) == false
}

test_each_operator if {
	every case in [
		[{"key": "app", "operator": "In", "values": ["web", "api"]}, true],
		[{"key": "app", "operator": "In", "values": ["api"]}, false],
		[{"key": "gone", "operator": "In", "values": ["web"]}, false],
		[{"key": "app", "operator": "NotIn", "values": ["api"]}, true],
		[{"key": "app", "operator": "NotIn", "values": ["web", "api"]}, false],
		[{"key": "gone", "operator": "NotIn", "values": ["web"]}, true],
		[{"key": "app", "operator": "Exists"}, true],
		[{"key": "app", "operator": "Exists", "values": []}, true],
		[{"key": "gone", "operator": "Exists"}, false],
		[{"key": "app", "operator": "DoesNotExist"}, false],
		[{"key": "gone", "operator": "DoesNotExist"}, true],
	] {
		selector.selects({"matchExpressions": [case[0]]}, web) == case[1]
	}
}

test_labels_and_expressions_must_all_hold if {
	exists := {"key": "tier", "operator": "Exists"}
	absent := {"key": "tier", "operator": "DoesNotExist"}
	selector.selects({"matchLabels": {"app": "web"}, "matchExpressions": [exists]}, web) == true
	selector.selects({"matchLabels": {"app": "api"}, "matchExpressions": [exists]}, web) == false
	selector.selects({"matchLabels": {"app": "web"}, "matchExpressions": [exists, absent]}, web) == false
}

test_empty_value_of_a_label_is_a_value if {
	selector.selects({"matchExpressions": [{"key": "role", "operator": "Exists"}]}, {"role": ""}) == true
	selector.selects({"matchLabels": {"role": ""}}, {}) == false
}

test_malformed_selector_is_unknown if {
	every wrong in [
		"app=web",
		[],
		7,
		{"matchLabel": {"app": "web"}},
		{"matchLabels": ["app"]},
		{"matchLabels": {"app": 1}},
		{"matchExpressions": {}},
		{"matchExpressions": ["app"]},
		{"matchExpressions": [{"key": "app", "operator": "Equals", "values": ["web"]}]},
		{"matchExpressions": [{"key": "app", "operator": "In"}]},
		{"matchExpressions": [{"key": "app", "operator": "In", "values": []}]},
		{"matchExpressions": [{"key": "app", "operator": "In", "values": [1]}]},
		{"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["web"]}]},
		{"matchExpressions": [{"operator": "Exists"}]},
	] {
		selector.malformed(wrong)
		not selector.selects(wrong, web)
		not selector.selects(wrong, web) == false
		not selector.everything(wrong)
	}
	not selector.malformed({})
	not selector.malformed(null)
}

test_malformed_labels_are_unknown if {
	selector.labels({}) == {}
	selector.labels({"labels": null}) == {}
	selector.labels({"labels": web}) == web
	every wrong in [{"labels": ["x"]}, {"labels": {"app": 1}}, {"labels": "x"}] {
		not selector.labels(wrong)
	}
	not selector.selects({}, "labels")
}

test_only_a_selector_without_requirements_is_everything if {
	selector.everything({})
	selector.everything({"matchLabels": {}, "matchExpressions": null})
	not selector.everything(null)
	not selector.everything({"matchLabels": {"app": "web"}})
	not selector.everything({"matchExpressions": [{"key": "app", "operator": "Exists"}]})
}

test_selector_is_shown if {
	selector.text({}) == "everything"
	selector.text({
		"matchLabels": {"app": "web"},
		"matchExpressions": [
			{"key": "tier", "operator": "NotIn", "values": ["b", "a"]},
			{"key": "gone", "operator": "DoesNotExist"},
		],
	}) == "app=web, gone DoesNotExist, tier NotIn (a, b)"
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
		not selector.matches(chosen, web)
	}
}

test_candidates_are_those_of_the_rarest_pair if {
	listed := {"app=web": {"a", "b", "c"}, "tier=front": {"b"}}
	selector.listings(web) == {"app=web", "tier=front"}
	selector.candidates({"matchLabels": web}, listed, {"a", "b", "c", "d"}) == {"b"}
	selector.candidates({"matchLabels": {"app": "crm"}}, listed, {"a"}) == set()
	selector.candidates({}, listed, {"a", "d"}) == {"a", "d"}
	selector.candidates({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, listed, {"a", "d"}) == {"a", "d"}
}
