# METADATA
# scope: package
# title: Drills of an asset
# description: |
#   Every function is total: on drills that are not well formed it returns what a caller must treat as unknown.
package guardian.lib.drills

import future.keywords.not

# How far ahead of this machine's clock a time may be before it is called wrong.
clock_skew_seconds := 300

# A drill that cannot be placed on an asset and in time may be the newest of any asset.
misplaced(drills) := [drill | some drill in drills; not placed(drill)]

placed(drill) if {
	is_string(drill.attributes.asset)
	is_number(drill.attributes.ageSeconds)
	is_number(drill.attributes.logIndex)
}

# newest(drills) is undefined when there are none. Of two of one second, the one logged later counts.
newest(drills) := order[0][2] if {
	order := sort([[drill.attributes.ageSeconds, 0 - drill.attributes.logIndex, drill] | some drill in drills])
}

rank := {"restored": 0, "sound": 1, "exact": 2}
