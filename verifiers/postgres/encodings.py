"""Python's codecs for PostgreSQL's encodings.

Invariant: an encoding that is not known here, and SQL_ASCII, which is none, are read as UTF-8: what most of their names
are, and what every ASCII name is anyway. No I/O.
"""

from __future__ import annotations

_LATIN = {1: 1, 2: 2, 3: 3, 4: 4, 5: 9, 6: 10, 7: 13, 8: 14, 9: 15, 10: 16}  # LATINn -> part of ISO 8859
_CODECS = {
    **{f"LATIN{number}": f"iso8859-{part}" for number, part in _LATIN.items()},
    **{f"ISO_8859_{part}": f"iso8859-{part}" for part in (5, 6, 7, 8)},
    **{f"WIN{page}": f"cp{page}" for page in (866, 874, *range(1250, 1259))},
    "KOI8R": "koi8_r", "KOI8U": "koi8_u",
    "EUC_JP": "euc_jp", "EUC_JIS_2004": "euc_jis_2004", "SJIS": "cp932", "SHIFT_JIS_2004": "shift_jis_2004",
    "EUC_KR": "euc_kr", "UHC": "cp949", "JOHAB": "johab",
    "EUC_CN": "gb2312", "GBK": "gbk", "GB18030": "gb18030", "BIG5": "big5",
}  # fmt: skip


def codec_of(encoding: str) -> str:
    """Return the codec for an encoding by the name that pg_encoding_to_char gives it."""
    return _CODECS.get(encoding.upper(), "utf-8")
