"""The kinds of values: what each takes and what it refuses."""

from __future__ import annotations

import pytest

from freepbx_bx24.call import Person
from freepbx_bx24.settings import kinds

TAKEN = [
    (kinds.seconds(0.1, 10.0), {"2": 2.0, "2s": 2.0, "2 s": 2.0, "500ms": 0.5, "0.1": 0.1, "10.000s": 10.0}),
    (kinds.DAYS, {"14d": 14, "14": 14, "1d": 1, "9999 d": 9999}),
    (kinds.PERSON, {"100": Person("100"), "0101": Person("0101"), "user:12": Person(user_id=12)}),
    (kinds.COUNTRY, {"RU": "RU", "de": "DE", "Kz": "KZ"}),
    (kinds.ANONYMOUS, {"skip": "", "70000000000": "70000000000", "+70000000000": "+70000000000"}),
    (kinds.NUMBER, {"+7800*": "+7800*", " 199 ": "199", "_88003330XX": "_88003330XX", "reception": "reception"}),
    (
        kinds.ADDRESS,
        {
            "https://a.bitrix24.ru/": "https://a.bitrix24.ru",
            "https://crm.example.com:8443": "https://crm.example.com:8443",
            "http://[::1]:80/": "http://[::1]:80",
        },
    ),
    (kinds.text(5), {"a b": "a b", " ab ": "ab", "Продi": "Продi"}),
]
REFUSED = [
    (kinds.seconds(0.1, 10.0), ["", "0", "0.05", "10.001", "-1", "1e0", "2m", "2,0", "٢", "2ss", "nan", "inf"]),
    (kinds.DAYS, ["", "0", "0d", "-1d", "1.5d", "10000d", "2w", "٧"]),
    (kinds.PERSON, ["", "10101", "user:0", "user:", "user:1a", "User:1", "-1", "1 0", "reception", "٧"]),
    (kinds.COUNTRY, ["", "XX", "RUS", "Russia", "7"]),
    (kinds.ANONYMOUS, ["", "Skip", "1 2", "*97", "1234567890123456"]),
    (kinds.NUMBER, ["", " ", "_", "_[", "_8.5", "a\nb", "x" * 81]),
    (
        kinds.ADDRESS,
        ["", "a.bitrix24.ru", "http://a.ru", "https://", "https://a.ru/rest/1/s/", "https://u:p@a.ru", "https://a.ru?b"]
        + [
            "https://a.ru:70000",
            "https://a.ru\n",
            "ftp://a.ru",
            "http://127.0.0.1.a.ru",
            "https://a ru",
            "https://\u0430.ru",
        ],
    ),
    (kinds.text(5), ["", "  ", "abcdef", "a\x1b", "a\nb", "\ud800"]),
]


@pytest.mark.parametrize(
    ("kind", "typed", "value"), [(kind, typed, value) for kind, pairs in TAKEN for typed, value in pairs.items()]
)
def test_takes(kind: kinds.Kind, typed: str, value: object) -> None:
    assert kind.read(typed) == value
    assert type(kind.read(typed)) is type(value)


@pytest.mark.parametrize(("kind", "typed"), [(kind, typed) for kind, texts in REFUSED for typed in texts])
def test_refuses(kind: kinds.Kind, typed: str) -> None:
    with pytest.raises(ValueError):
        kind.read(typed)
