# METADATA
# scope: package
# title: Shapes of what a control says
# description: |
#   A control judges each resource with one function that returns one of these. `proved` is the only way to a pass, and
#   stands behind every condition spelled out; the last `else` of every control is `unknown`, so that an expression which
#   turns out undefined can never pass.
package guardian.lib.outcome

proved := {"verdict": "pass"}

fail(id, message, expected, observed) := {
	"resource": id,
	"verdict": "fail",
	"message": message,
	"expected": expected,
	"observed": observed,
}

error(id, message) := {
	"resource": id,
	"verdict": "error",
	"message": message,
	"expected": null,
	"observed": null,
}

skip(id, message) := {
	"resource": id,
	"verdict": "skip",
	"message": message,
	"expected": null,
	"observed": null,
}

# A finding names so many entries, and says how many more there are: it is read, logged and sent to the API server.
named := 50

# first(list) are those that a finding names; rest(number) says how many of so many it does not: "", or "; and 3 more".
first(list) := array.slice(list, 0, named)

rest(number) := sprintf("; and %d more", [number - named]) if {
	number > named
} else := ""

# short(value) is a text of at most 128 characters, any other value as it is.
short(value) := concat("", [substring(value, 0, 128), "..."]) if {
	is_string(value)
	count(value) > 128
} else := value

# The verdict of last resort: nothing that the control knows how to judge was found.
unknown(id) := error(id, "could not be judged: a fact that this control needs is missing or has an unexpected form")
