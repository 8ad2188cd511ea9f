package guardian.lib.duration_test

import data.guardian.lib.duration

test_two_largest_units_are_named if {
	every seconds, text in {
		"0": "0 s",
		"59": "59 s",
		"60": "1 min",
		"61": "1 min 1 s",
		"3600": "1 h",
		"3661": "1 h 1 min",
		"86400": "1 d",
		"97200": "1 d 3 h",
		"691201": "8 d",
		"61.5": "1 min 1 s",
		"0.25": "0.25 s",
	} {
		duration.text(to_number(seconds)) == text
	}
}
