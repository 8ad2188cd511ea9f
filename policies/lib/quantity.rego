# METADATA
# scope: package
# title: Quantities of Kubernetes
# description: |
#   A quantity is [whole units, billionths], exact, and rounded up at the billionth as the API server does. Such pairs
#   compare in order: [1, 500000000] < [2, 0]. What is 10^18 or more counts as 10^18. Everything is done on digits and
#   on whole numbers below 2^63, because engines agree on those. What is malformed or negative, or cannot be computed that
#   way, has no value: a caller must treat it as unknown.
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
#     description: Kubernetes, the syntax of quantities
package guardian.lib.quantity

import future.keywords.not

ceiling := 1000000000000000000

# value(quantity) is the pair of a text such as 500m, 1.5Gi or 2e3, or of a number.
value(quantity) := parsed(trim_prefix(trim_space(quantity), "+")) if {
	is_string(quantity)
} else := parsed(json.marshal(quantity)) if {
	is_number(quantity)
}

parsed(text) := scaled(split(trim_suffix(text, suffix), "."), suffix) if {
	suffix := trim_left(text, "0123456789.")
}

# The common forms first: whole numbers with a suffix.
scaled([digits], suffix) := [min([to_number(significant(digits)) * multiple[suffix], ceiling]), 0] if {
	digits != ""
	count(digits) <= 18
} else := [(thousandths - (thousandths % 1000)) / 1000, (thousandths % 1000) * 1000000] if {
	suffix == "m"
	digits != ""
	count(digits) <= 18
	thousandths := to_number(significant(digits))
} else := shifted(digits, "", exponent(suffix)) if {
	digits != ""
}

scaled([digits, fraction], suffix) := shifted(digits, fraction, exponent(suffix)) if {
	concat("", [digits, fraction]) != ""
} else := doubled(concat("", [digits, fraction]), count(fraction), binary[suffix]) if {
	concat("", [digits, fraction]) != ""
}

multiple := {
	"": 1,
	"k": 1000,
	"M": 1000000,
	"G": 1000000000,
	"T": 1000000000000,
	"P": 1000000000000000,
	"E": 1000000000000000000,
	"Ki": 1024,
	"Mi": 1048576,
	"Gi": 1073741824,
	"Ti": 1099511627776,
	"Pi": 1125899906842624,
	"Ei": 1152921504606846976,
}

decimal := {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}

binary := {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

# exponent(suffix) is the power of ten that a decimal suffix, or e3, E+3 or e-3, stands for.
exponent(suffix) := decimal[suffix]

exponent(suffix) := sign * to_number(significant(digits)) if {
	substring(suffix, 0, 1) in {"e", "E"}
	signed := substring(suffix, 1, -1)
	[sign, digits] := sign_of(signed)
	digits != ""
	trim_left(digits, "0123456789") == ""
	count(significant(digits)) <= 3
}

sign_of(text) := [-1, substring(text, 1, -1)] if {
	startswith(text, "-")
} else := [1, trim_prefix(text, "+")]

significant(digits) := trim_left(digits, "0") if {
	trim_left(digits, "0") != ""
} else := "0"

# shifted(digits, fraction, exponent) is digits.fraction times ten to the exponent.
shifted(before, after, power) := carried(whole_part(digits, point), billionths_part(digits, point)) if {
	digits := trim_left(concat("", [before, after]), "0")
	digits != ""
	point := (count(digits) - count(after)) + power
	point <= 18
} else := [ceiling, 0] if {
	trim_left(concat("", [before, after]), "0") != ""
	is_number(power)
} else := [0, 0] if {
	is_number(power)
}

# digits have no leading zero; point is how many of them stand before the decimal point, below 0 if zeros follow it.
whole_part(digits, point) := 0 if {
	point <= 0
} else := to_number(substring(concat("", [digits, eighteen_zeros]), 0, point))

billionths_part(digits, point) := 0 if {
	point >= count(digits)
} else := 1 if {
	point < -9
} else := rounded_up(concat("", [substring(eighteen_zeros, 0, 0 - point), digits])) if {
	point < 0
} else := rounded_up(substring(digits, point, -1))

rounded_up(digits) := billionths if {
	trim_right(substring(digits, 9, -1), "0") == ""
	billionths := to_number(significant(substring(concat("", [digits, eighteen_zeros]), 0, 9)))
} else := to_number(significant(substring(digits, 0, 9))) + 1

carried(whole, billionths) := cut(whole + 1, 0) if {
	billionths == 1000000000
} else := [whole, billionths]

eighteen_zeros := "000000000000000000"

# doubled(digits, places, power): the number that digits are with so many decimal places, times two to the power. With
# places <= 9 < power it is digits * 2^(power - places) / 5^places.
doubled(digits, places, power) := cut((product - rest) / fives[places], (rest * 512) * fives[9 - places]) if {
	places <= 9
	count(significant(digits)) <= 18
	product := to_number(significant(digits)) * powers_of_two[power - places]
	product < 9000000000000000000
	rest := product % fives[places]
}

cut(whole, billionths) := [ceiling, 0] if {
	whole >= ceiling
} else := [whole, billionths]

fives := [1, 5, 25, 125, 625, 3125, 15625, 78125, 390625, 1953125]

powers_of_two := {power: bits.lsh(1, power) | some power in numbers.range(1, 60)}

# text(pair, resource) is a pair for people, the same however it was written: memory in the largest binary unit without a
# fraction, other resources in whole units or thousandths.
text([whole, billionths], resource) := concat("", [digits_of(whole / unit[0]), unit[1]]) if {
	billionths == 0
	resource == "memory"
	whole > 0
	unit := [[size, name] |
		some name in ["Pi", "Ti", "Gi", "Mi", "Ki"]
		size := multiple[name]
		whole % size == 0
	][0]
} else := digits_of(whole) if {
	billionths == 0
} else := concat("", [digits_of((whole * 1000) + (billionths / 1000000)), "m"]) if {
	billionths % 1000000 == 0
	whole < 1000000000000
} else := concat("", [digits_of(whole), ".", trim_right(substring(digits, count(digits) - 9, -1), "0")]) if {
	digits := concat("", [eighteen_zeros, digits_of(billionths)])
}

# digits_of(number) is a whole number below 10^18 in digits. format_int of WebAssembly ends at 2^31.
digits_of(number) := format_int(number, 10) if {
	number < 1000000000
} else := concat("", [
	format_int((number - low) / 1000000000, 10),
	substring(eighteen_zeros, 0, 9 - count(format_int(low, 10))),
	format_int(low, 10),
]) if {
	low := number % 1000000000
}
