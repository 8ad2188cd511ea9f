# METADATA
# scope: package
# title: Policy documents of AWS as AWS matches them
# description: |
#   Patterns, statements and documents. `*` stands for any text, none included, and `?` for one character, also beyond the
#   colons of an ARN: for what a statement allows that is what AWS does or more. Actions are lower-cased on both sides.
#   Two questions are told apart: whether a statement may apply to some of a target (asked of an Allow), and whether it
#   surely applies to all of it (asked of a Deny). A policy variable (`${aws:username}`) may be anything to the first and
#   is nothing to the second. A target is `{"text": ARN}`, or `{"prefix": start of ARNs}` for all that begin so, no matter
#   how they end. Documents have the form of the collector; `well_formed` says whether one has.
package guardian.lib.iam

import future.keywords.not

# matches(pattern, text) as IAM matches them; false where it does not match.
matches(pattern, text) if {
	pattern == text
} else := glob(split(pattern, "*"), text) if {
	not contains(pattern, "?")
} else := regex.match(expression(pattern), text) if {
	same_length(pattern, text)
} else := false

# glob(parts, text): the texts between the stars, which up to two stars need no regular expression.
glob(parts, text) := false if {
	count(parts) == 1
} else := false if {
	not startswith(text, parts[0])
} else := false if {
	not endswith(text, parts[count(parts) - 1])
} else if {
	count(parts) == 2
	count(text) >= count(parts[0]) + count(parts[1])
} else := contains(inner, parts[1]) if {
	count(parts) == 3
	long := count(text) - (count(parts[0]) + count(parts[2]))
	long >= 0
	inner := substring(text, count(parts[0]), long)
} else := regex.match(expression(concat("*", parts)), text) if {
	count(parts) > 3
} else := false

same_length(pattern, _) if contains(pattern, "*")

same_length(pattern, text) if count(pattern) == count(text)

expression(pattern) := concat("", ["^(?s:", concat("", [escaped(character) | some character in split(pattern, "")]), ")$"])

escaped(character) := special[character] if {
	special[character]
} else := character

special := {
	"*": ".*",
	"?": ".",
	"\\": "\\\\",
	".": "\\.",
	"+": "\\+",
	"(": "\\(",
	")": "\\)",
	"|": "\\|",
	"[": "\\[",
	"]": "\\]",
	"{": "\\{",
	"}": "\\}",
	"^": "\\^",
	"$": "\\$",
}

# loose(pattern) has a star for every policy variable.
loose(pattern) := pattern if {
	not contains(pattern, "${")
} else := concat("*", array.concat([parts[0]], [after(part) | some part in array.slice(parts, 1, count(parts))])) if {
	parts := split(pattern, "${")
}

after(part) := substring(part, indexof(part, "}") + 1, -1) if {
	contains(part, "}")
} else := ""

# overlaps(pattern, target): the pattern may match some of the target.
overlaps(pattern, target) := matches(loose(pattern), target.text) if {
	target.text
} else := matches(stem, target.prefix) if {
	# as long as the target's prefix, or longer: what follows the prefix is anything
	stem := substring(before_star(loose(pattern)), 0, count(target.prefix))
	count(stem) == count(target.prefix)
} else := matches(stem, substring(target.prefix, 0, count(stem))) if {
	# the star takes in the rest of the prefix, and all that follows the star too
	contains(loose(pattern), "*")
	stem := before_star(loose(pattern))
} else := false

before_star(pattern) := split(pattern, "*")[0]

# covers(pattern, target): the pattern surely matches all of the target.
covers(pattern, target) := false if {
	contains(pattern, "${")
} else := matches(pattern, target.text) if {
	target.text
} else := matches(pattern, target.prefix) if {
	endswith(pattern, "*")
} else := false

# may_concern(statement, target): its resources may be some of the target; undefined where it names none.
may_concern(statement, target) if {
	some pattern in statement.resources
	overlaps(pattern, target)
} else if {
	listed(statement, "notResources")
	not excepted(statement.notResources, target)
}

excepted(patterns, target) if {
	some pattern in patterns
	covers(pattern, target)
}

# concerns_all(statement, target): its resources are all of the target.
concerns_all(statement, target) if {
	excepted(listed(statement, "resources"), target)
} else if {
	patterns := listed(statement, "notResources")
	every pattern in patterns { overlaps(pattern, target) == false }
}

# actions(statement, wanted): which of the wanted actions the statement names, or does not except. wanted: the actions by
# service, lower-cased: `{"s3": {"s3:deleteobject"}}`.
actions(statement, wanted) := named(statement.actions, wanted) if {
	is_array(statement.actions)
} else := union({found | some found in wanted}) - named(statement.notActions, wanted) if {
	is_array(statement.notActions)
} else := set()

named(patterns, wanted) := {action | some pattern in patterns; some action in hits(lower(pattern), wanted)}

# By service, because documents of thousands of actions are about others.
hits(pattern, wanted) := {pattern} if {
	not wild(pattern)
	wanted[split(pattern, ":")[0]][pattern]
} else := set() if {
	not wild(pattern)
} else := {action | some action in object.get(wanted, [service], set()); matches(pattern, action)} if {
	service := split(pattern, ":")[0]
	contains(pattern, ":")
	not wild(service)
} else := {action | some actions in wanted; some action in actions; matches(pattern, action)}

wild(pattern) if contains(pattern, "*")

wild(pattern) if contains(pattern, "?")

unconditional(statement) if object.get(statement, "conditions", {}) in {null, {}}

listed(statement, name) := statement[name] if is_array(statement[name])

# well_formed(document): every statement is one that the functions above can read, so that nothing in it is passed over.
well_formed(document) if {
	is_array(document.statements)
	every statement in document.statements { well_stated(statement) }
}

well_stated(statement) if {
	statement.effect in {"Allow", "Deny"}
	one_of(statement, "actions", "notActions")
	one_of(statement, "resources", "notResources")
	well_conditioned(statement)
}

# well_trusting(document): of a trust policy, which names principals and no resources.
well_trusting(document) if {
	is_array(document.statements)
	every statement in document.statements { trusts(statement) }
}

trusts(statement) if {
	statement.effect in {"Allow", "Deny"}
	one_of(statement, "actions", "notActions")
	one_of_principals(statement)
	well_conditioned(statement)
}

# well_granting(document): of a policy on a resource, which names principals and resources.
well_granting(document) if {
	well_formed(document)
	every statement in document.statements { one_of_principals(statement) }
}

one_of(statement, name, other) if {
	texts(statement[name])
	object.get(statement, other, null) == null
}

one_of(statement, name, other) if {
	texts(statement[other])
	object.get(statement, name, null) == null
}

one_of_principals(statement) if {
	well_named(statement.principals)
	object.get(statement, "notPrincipals", null) == null
}

one_of_principals(statement) if {
	well_named(statement.notPrincipals)
	object.get(statement, "principals", null) == null
}

well_named(principals) if {
	is_object(principals)
	every key, value in principals { well_keyed(key, value) }
}

well_keyed("*", value) if is_boolean(value)

well_keyed(key, value) if {
	key != "*"
	texts(value)
}

texts(list) if {
	is_array(list)
	every text in list { is_string(text) }
}

well_conditioned(statement) if {
	object.get(statement, "conditions", null) == null
}

well_conditioned(statement) if {
	is_object(statement.conditions)
	every keys in statement.conditions {
		is_object(keys)
		every values in keys { is_array(values) }
	}
}

# The kinds of principals that a statement names: all texts of one kind, none where it does not name that kind.
principals(statement, kind) := list if {
	list := statement.principals[kind]
	is_array(list)
} else := []

# anyone(statement): it names everybody as its principal, or everybody but some.
anyone(statement) if statement.principals["*"] == true

anyone(statement) if "*" in principals(statement, "AWS")

anyone(statement) if is_object(statement.notPrincipals)

# The operators by which a condition names what it asks for, as they are written by hand too; with IfExists they would
# let through what lacks the key, and with ForAllValues what has no value at all.
naming := {
	"stringequals": "exact",
	"stringequalsignorecase": "exact",
	"stringlike": "pattern",
	"arnequals": "pattern",
	"arnlike": "pattern",
	"foranyvalue:stringequals": "exact",
	"foranyvalue:stringequalsignorecase": "exact",
	"foranyvalue:stringlike": "pattern",
	"foranyvalue:arnequals": "pattern",
	"foranyvalue:arnlike": "pattern",
	"ipaddress": "block",
}

# demands(statement): what its conditions ask for by name, as [key in lower case, how, values].
demands(statement) := [[lower(key), naming[lower(operator)], values] |
	some operator, keys in statement.conditions
	naming[lower(operator)]
	some key, values in keys
]
