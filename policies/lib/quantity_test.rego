package guardian.lib.quantity_test

import future.keywords.not

import data.guardian.lib.quantity

test_every_form_has_its_value if {
	every text, pair in {
		"0": [0, 0],
		"1": [1, 0],
		"007": [7, 0],
		"+3": [3, 0],
		" 4 ": [4, 0],
		"500m": [0, 500000000],
		"1500m": [1, 500000000],
		"0.5": [0, 500000000],
		".5": [0, 500000000],
		"1.": [1, 0],
		"1.25": [1, 250000000],
		"250000u": [0, 250000000],
		"1n": [0, 1],
		"1k": [1000, 0],
		"1Ki": [1024, 0],
		"512Mi": [536870912, 0],
		"1.5Gi": [1610612736, 0],
		"1.1Ki": [1126, 400000000],
		"0.1Mi": [104857, 600000000],
		"2e3": [2000, 0],
		"2E3": [2000, 0],
		"2e+3": [2000, 0],
		"25e-2": [0, 250000000],
		"1.5e9": [1500000000, 0],
		"0e5": [0, 0],
		"999P": [999000000000000000, 0],
	} {
		quantity.value(text) == pair
	}
}

test_less_than_a_billionth_is_rounded_up if {
	quantity.value("0.1n") == [0, 1]
	quantity.value("1e-30") == [0, 1]
	quantity.value("0.0000000001") == [0, 1]
	quantity.value("1.9999999991") == [2, 0]
	quantity.value("1.0000000010") == [1, 1]
}

test_what_is_huge_is_cut_and_still_larger_than_anything_asked if {
	every text in ["1E", "1Ei", "9999P999"] {
		not quantity.value(text) < [999999999999999999, 0]
	}
	quantity.value("1E") == [quantity.ceiling, 0]
	quantity.value("8Ei") == [quantity.ceiling, 0]
	quantity.value("123456789012345678901234567890") == [quantity.ceiling, 0]
	quantity.value("1e99") == [quantity.ceiling, 0]
}

test_numbers_have_the_value_of_their_text if {
	quantity.value(2) == [2, 0]
	quantity.value(0.5) == [0, 500000000]
	quantity.value(0) == [0, 0]
}

test_what_is_no_quantity_has_no_value if {
	every junk in [
		"",
		" ",
		".",
		"m",
		"Gi",
		"-1",
		"-500m",
		"1.2.3",
		"1 Gi",
		"1gi",
		"1GI",
		"1K",
		"1KiB",
		"1Gb",
		"1e",
		"1e+",
		"1e1.5",
		"1e1Gi",
		"0x10",
		"1_000",
		"1,5",
		"++1",
		"+-1",
		"1e9999",
		"one",
		"1m1",
		null,
		true,
		[],
		["1"],
		{},
		{"$redacted": "ab"},
		-1,
	] {
		not quantity.value(junk)
	}
}

test_pairs_compare_in_order if {
	quantity.value("999m") < quantity.value("1")
	quantity.value("1Gi") > quantity.value("1G")
	quantity.value("1024Mi") == quantity.value("1Gi")
	quantity.value("1.5") == quantity.value("1500m")
}

test_text_is_the_same_however_it_was_written if {
	every entry in [
		["1024Mi", "memory", "1Gi"],
		["1.5Gi", "memory", "1536Mi"],
		["1000", "memory", "1000"],
		["1G", "memory", "1000000000"],
		["0", "memory", "0"],
		["0", "cpu", "0"],
		["0.5", "cpu", "500m"],
		["2000m", "cpu", "2"],
		["1.5", "cpu", "1500m"],
		["1024", "cpu", "1024"],
		["100u", "cpu", "0.0001"],
		["1n", "cpu", "0.000000001"],
	] {
		quantity.text(quantity.value(entry[0]), entry[1]) == entry[2]
	}
}
