# METADATA
# scope: package
# title: Label selectors as the Kubernetes API defines them
# description: |
#   A selector that is absent (null) selects nothing, an empty one selects everything, and all requirements of one must
#   hold. Every function is total: of a selector that is not well formed, `malformed` is true and `selects` undefined,
#   which a caller must treat as unknown. Keys are compared as they are, labels that are absent (null) are no labels.
package guardian.lib.selector

import future.keywords.not

# labels(resource) are the labels that a selector sees; undefined when they are not well formed.
labels(metadata) := {} if {
	object.get(metadata, "labels", null) == null
} else := metadata.labels if {
	well_labelled(metadata.labels)
}

well_labelled(labels) if {
	is_object(labels)
	every value in labels { is_string(value) }
}

malformed(selector) if not well_formed(selector)

well_formed(null)

well_formed(selector) if {
	is_object(selector)
	count(object.keys(selector) - {"matchLabels", "matchExpressions"}) == 0
	well_labelled(match_labels(selector))
	is_array(match_expressions(selector))
	every expression in match_expressions(selector) { well_expressed(expression) }
}

# selects(selector, labels) is whether a well-formed selector selects an object with these labels.
selects(selector, labels) if {
	well_formed(selector)
	is_object(labels)
	selector != null
	every key, value in match_labels(selector) { labels[key] == value }
	every expression in match_expressions(selector) { holds(expression, labels) }
} else := false if {
	well_formed(selector)
	is_object(labels)
}

# everything(selector) is true of a selector without requirements. The empty fields that a server or a client may add
# are none.
everything(selector) if {
	is_object(selector)
	well_formed(selector)
	count(match_labels(selector)) == 0
	count(match_expressions(selector)) == 0
}

match_labels(selector) := {} if {
	object.get(selector, "matchLabels", null) == null
} else := selector.matchLabels

match_expressions(selector) := [] if {
	object.get(selector, "matchExpressions", null) == null
} else := selector.matchExpressions

well_expressed(expression) if {
	is_object(expression)
	is_string(expression.key)
	expression.operator in {"In", "NotIn"}
	is_array(expression.values)
	count(expression.values) > 0
	every value in expression.values { is_string(value) }
}

well_expressed(expression) if {
	is_object(expression)
	is_string(expression.key)
	expression.operator in {"Exists", "DoesNotExist"}
	object.get(expression, "values", null) in {null, []}
}

holds(expression, labels) if {
	expression.operator == "In"
	labels[expression.key] in expression.values
}

# A label that is not there is not in any list.
holds(expression, labels) if {
	expression.operator == "NotIn"
	not labels[expression.key] in expression.values
}

holds(expression, labels) if {
	expression.operator == "Exists"
	is_string(labels[expression.key])
}

holds(expression, labels) if {
	expression.operator == "DoesNotExist"
	not is_string(labels[expression.key])
}

# text(selector) shows a well-formed selector in a message.
text(selector) := "everything" if {
	everything(selector)
} else := concat(", ", sort(equal | expressed)) if {
	equal := {sprintf("%v=%v", [key, value]) | some key, value in match_labels(selector)}
	expressed := {expression_text(expression) | some expression in match_expressions(selector)}
}

expression_text(expression) := sprintf("%v %v (%s)", [
	expression.key,
	expression.operator,
	concat(", ", sort(expression.values)),
]) if {
	expression.operator in {"In", "NotIn"}
} else := sprintf("%v %v", [expression.key, expression.operator])

# matches(selector, labels): the selector is well formed and selects them.
matches(selector, labels) if selects(selector, labels) == true

# listings(labels) are these labels as `key=value`: an index of objects by them is what candidates() looks things up in.
listings(labels) := {pair |
	some key, value in labels
	is_string(value)
	pair := concat("=", [key, value])
}

# candidates(selector, listed, all), of a selector that is an object, are those that the selector can select: of its pairs, the one that fewest are listed
# under, all for a selector without pairs. So what a selector selects is found without trying everything.
# listed: ids by pair; all: all ids.
candidates(selector, listed, all) := object.get(listed, min(sizes)[1], set()) if {
	sizes := [[count(object.get(listed, pair, set())), pair] | some pair in listings(match_labels(selector))]
	count(sizes) > 0
} else := all
