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

# The verdict of last resort: nothing that the control knows how to judge was found.
unknown(id) := error(id, "could not be judged: a fact that this control needs is missing or has an unexpected form")
