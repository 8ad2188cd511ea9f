"""A manifest means to Guardian what it means to kubectl: OPA's `yaml.unmarshal` is the same Go code (sigs.k8s.io/yaml).

Whatever Guardian reads, kubectl reads alike; what Guardian refuses, kubectl may read.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from guardian.usecases import check_yaml
from guardian.usecases.check_nodes import UnreadableError
from tests.tools.opa_server import OpaServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGO = """package asked

outcomes := [outcome(text) | some text in input.texts]

outcome(text) := {"value": yaml.unmarshal(text)} if yaml.is_valid(text)

else := {}
"""
_WORDS_TEXT = """yes no on off y n Y N Yes NO On OFF true True TRUE false tRue yEs oN null Null NULL ~ nULL
.inf -.inf +.Inf .nan .NaN -.nan 0 00 08 09.5 0777 -0777 0_7 0o17 0O17 0b101 -0b1 0B1 0x1F 0X1f +0x1f 0x_1 0x 0b 0o
1_000 1__0 _1 1_ 1_000.5 + - . .. 1. +1 -1 -0 -0.0 .5 +.5 -.5e3 .8_5 ._5 1e3 1E+2 1e1_0 e1 1e 1.e5 .e5 1.0 0.1e-5
9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615
18446744073709551616 +18446744073709551615 123456789012345678901234567890 0777777777777777777777777777
0xFFFFFFFFFFFFFFFFFF 1e20 1e21 1e400 -1e400 1.8446744073709552e+18 2001-01-01 2001-01-01T00:00:00Z 12:30 1:30:00
1.2.3 500m 1Gi 0.5Gi = << !x *a"""
WORDS = _WORDS_TEXT.split()
PIECES = [
    *"ab01 \n-:{}[],&*#|>'\"!%\t?<~",
    *(
        "a: ",
        "b: ",
        "- ",
        "&x ",
        "*x",
        "[",
        "]",
        "{",
        "}",
        "\n  ",
        "\n    ",
        "|",
        "> ",
        "|-\n  ",
        "'a'",
        '"b"',
        "# c\n",
    ),
    *(
        "? ",
        "!!str ",
        "!a ",
        "yes",
        "1",
        "a:\n",
        "- a\n",
        "  b: 1\n",
        "x: &x {a: 1, b: 2}\n",
        "z: &z\n  c: yes\n  a: 3\n",
    ),
    *("<<: *x\n", "<<: [*x, *z]\n", "q: {<<: *x, b: 5}\n", "- *z\n", "{<<: *z, q: on}", "é", "\U0001f600"),
    *('"\\x41\\u00e9"', "\r\n", "0x1", "010", "on: 1\n", "8: 2\n"),
]


@pytest.fixture(scope="module")
def server(opa: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpaServer]:
    """OPA, ready to read YAML."""
    folder = tmp_path_factory.mktemp("yaml")
    (folder / "asked.rego").write_text(REGO)
    with OpaServer(opa, folder) as server:
        yield server


def compared(server: OpaServer, texts: list[str]) -> dict[str, int]:
    """Count agreement, asserting that there is no text that both read, and read differently."""
    counts = {"agree": 0, "both refuse": 0, "only kubectl reads": 0, "only we read": 0}
    for start in range(0, len(texts), 2000):
        some = texts[start : start + 2000]
        for text, outcome in zip(some, server.value("asked/outcomes", {"texts": some}), strict=True):
            try:
                documents = check_yaml.parse(text, 1)
            except UnreadableError:
                counts["only kubectl reads" if "value" in outcome else "both refuse"] += 1
                continue
            value = documents[0].plain() if documents else None
            if "value" not in outcome:
                counts["only we read"] += 1
                continue
            assert same(value, outcome["value"]), (text, value, outcome)
            counts["agree"] += 1
    return counts


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list):
        return isinstance(theirs, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, bool | str | None):
        return type(ours) is type(theirs) and bool(ours == theirs)
    return not isinstance(theirs, bool | str | list | dict | None) and float(ours) == float(theirs)


def test_every_word_that_yaml_1_1_reads_otherwise_than_1_2_means_what_it_means_to_kubectl(server: OpaServer) -> None:
    values = [text for word in WORDS for text in (f"- {word}\n", f"a: {word}\n", f"[{word}]", f"'{word}'", f'"{word}"')]
    counts = compared(server, values)
    assert counts["only we read"] == 0
    assert counts["agree"] > 0.85 * len(values)
    keys = compared(server, [f"{word}: 1\n" for word in WORDS])
    assert keys["only we read"] == 0
    assert keys["agree"] > 0.6 * len(WORDS)


def test_ten_thousand_random_scalars_mean_what_they_mean_to_kubectl(server: OpaServer) -> None:
    random = Random(20261123)
    texts = [
        "- " + "".join(random.choice("0123456789_+-.xXobBOeEyYnN") for _ in range(random.randint(1, 8))) + "\n"
        for _ in range(10_000)
    ]
    counts = compared(server, texts)
    assert counts["agree"] > 9000


def test_thirty_thousand_random_documents_are_read_as_kubectl_reads_them_or_refused(server: OpaServer) -> None:
    random = Random(20261123)
    texts = ["".join(random.choice(PIECES) for _ in range(random.randint(1, 14))) for _ in range(30_000)]
    counts = compared(server, texts)
    assert counts["agree"] > 5000
    assert counts["only we read"] < 10
