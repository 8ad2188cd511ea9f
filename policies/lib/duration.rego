# METADATA
# scope: package
# title: Durations for people
package guardian.lib.duration

# text(seconds) is a duration in the two largest units that say something: `3 d 4 h`, `15 min`, `42 s`.
text(seconds) := sprintf("%d d%s", [floor(seconds / 86400), rest(floor(seconds) % 86400, 3600, "h")]) if {
	seconds >= 86400
} else := sprintf("%d h%s", [floor(seconds / 3600), rest(floor(seconds) % 3600, 60, "min")]) if {
	seconds >= 3600
} else := sprintf("%d min%s", [floor(seconds / 60), rest(floor(seconds) % 60, 1, "s")]) if {
	seconds >= 60
} else := sprintf("%v s", [seconds])

rest(seconds, unit, name) := "" if {
	floor(seconds / unit) == 0
} else := sprintf(" %d %s", [floor(seconds / unit), name])
