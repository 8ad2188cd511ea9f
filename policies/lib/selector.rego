# METADATA
# scope: package
# title: Label selectors of Kubernetes
# description: |
#   A selector that is null, or of a form or an operator that is not known, selects nothing; an empty one selects all.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
#     description: Kubernetes, label selectors
package guardian.lib.selector

import future.keywords.not

# matches(selector, labels): an object with these labels is selected.
matches(selector, labels) if {
	is_object(selector)
	every key, value in pairs(selector) {
		labels[key] == value
	}
	every expression in expressions(selector) {
		holds(expression.operator, expression, labels)
	}
}

pairs(selector) := {} if {
	object.get(selector, "matchLabels", null) == null
} else := selector.matchLabels if {
	is_object(selector.matchLabels)
}

expressions(selector) := [] if {
	object.get(selector, "matchExpressions", null) == null
} else := selector.matchExpressions if {
	is_array(selector.matchExpressions)
}

holds("In", expression, labels) if labels[expression.key] in expression.values

holds("NotIn", expression, labels) if {
	is_string(expression.key)
	is_array(expression.values)
	not labels[expression.key] in expression.values
}

holds("Exists", expression, labels) if labels[expression.key]

holds("DoesNotExist", expression, labels) if {
	is_string(expression.key)
	not labels[expression.key]
}

# listings(labels) are these labels as `key=value`: an index of objects by them is what candidates() looks things up in.
listings(labels) := {pair |
	some key, value in labels
	is_string(value)
	pair := concat("=", [key, value])
}

# candidates(selector, listed, all), of a selector that is an object, are those that the selector can select: of its pairs, the one that fewest are listed
# under, all for a selector without pairs. So what a selector selects is found without trying everything.
# listed: ids by pair; all: all ids.
candidates(selector, listed, everything) := object.get(listed, min(sizes)[1], set()) if {
	sizes := [[count(object.get(listed, pair, set())), pair] | some pair in listings(pairs(selector))]
	count(sizes) > 0
} else := everything
