"""Phone numbers: one canonical form for the CRM, who withholds it, and the patterns that the YAML names numbers by."""

from __future__ import annotations

import re
from functools import lru_cache

# PHONE_NUMBER: the portal strips all but these and `, ;`, then refuses more than 20 characters.
_LONGEST = 20
# More than this was never dialled by anybody; it also bounds what the cache below can hold.
_LONGEST_READ = 80
# One call reads its own numbers several times, and all that the YAML has. More would be clients who rang long ago.
_REMEMBERED = 1024
# What follows is no part of the number: DTMF after a pause (`,`), URI parameters (`;`), a SIP host (`@`).
_END = re.compile(r"[,;@]")
_NOT_DIALLED = re.compile(r"[^0-9*#+]+")
# Up to five digits are an extension, an emergency or a short number, never a number of the national plan.
_SHORTEST_NATIONAL = 6
# Subscriber numbers dialled without the area code have at most eight digits (as in Berlin or Paris before 1996).
_LONGEST_LOCAL = 8

# Letters of an Asterisk pattern (extensions.conf: "Extension Names and Patterns").
_PATTERN_LETTERS = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+", "!": ".*"}
_PATTERN_TOKEN = re.compile(r"\[(?:[0-9*#+](?:-[0-9])?)+\]|[0-9*#+XZN]|[.!]\Z", re.IGNORECASE)
_BARE_PATTERN = re.compile(r"(?=.*[XZN\[])[0-9XZN\[\].!*#+-]+\Z", re.IGNORECASE)


def canonical(raw: str, country: str, area_code: str = "") -> str:
    """Return a client's number as the CRM should know it.

    :param raw: the number as the trunk or the phone gave it; any text.
    :param country: ISO 3166 code (two capital letters) of the country whose national forms are read.
    :param area_code: digits before short local numbers, without the national prefix.
    :returns: `+` and digits (E.164) where the number is a possible one, else what remains of `0-9*#+`, at most 20
        characters; the empty string when no digit remains. Never raises.
    """
    return _canonical(raw[:_LONGEST_READ], country, area_code)


def is_anonymous(raw: str) -> bool:
    """Say whether a caller ID names nobody: empty, `anonymous`, `<unknown>`, `Restricted`, `s`, ...

    Every word that Asterisk, trunks and SIP (RFC 3323) put there has no digit in it, and a name without a digit can't
    be a PHONE_NUMBER either (the portal answers "Unsupported phone number format"), so that is the rule. A number of
    zeros alone is how some trunks write "withheld".
    """
    return not _dialled(raw[:_LONGEST_READ]).strip("*#+0")


def is_usable(pattern: str) -> bool:
    """Say whether `matches` can ever be true for the pattern: it is a number, a prefix, a name, or a whole pattern."""
    text = pattern.strip()
    if text.startswith("_") or _BARE_PATTERN.match(text):
        return _expression(text) is not None
    return bool(text.rstrip("*")) or text in ("*", "**")


def matches(pattern: str, number: str, country: str, area_code: str = "") -> bool:
    """Say whether a number, DID or extension is meant by a pattern of the YAML.

    :param pattern: a number in any form (`84957770000` means `+7 495 777-00-00` where the country is RU), a prefix
        (`+7800*`), an Asterisk pattern (`_88003330XX`) or one without the underscore (`9XX`), or a device's name.
    :param number: the number, DID or extension; any text.
    :param country: as for `canonical`.
    :param area_code: as for `canonical`.
    :returns: true where it is meant. Patterns and prefixes are held against the number as it came, its E.164 form,
        that form without the plus and, for a number of the country, as it is dialled there (`88003330000`). Never
        raises.
    """
    wanted, given = pattern.strip(), number[:_LONGEST_READ].strip()
    if not wanted or not given:
        return False
    if wanted == given:
        return True
    whole = canonical(given, country, area_code)
    forms = {given, _dialled(given), whole, whole.lstrip("+"), _long_distance(whole, country)} - {""}
    if wanted.startswith("_") or _BARE_PATTERN.match(wanted):
        expression = _expression(wanted)
        return expression is not None and any(expression.match(form) for form in forms)
    if wanted.endswith("*"):
        prefix = wanted[:-1]
        return any(form.startswith(prefix) for form in forms)
    # Two devices named `door1` and `gate1` are not the same number 1.
    if any(character.isalpha() for character in wanted + given):
        return False
    return bool(whole) and canonical(wanted, country, area_code) == whole


def _dialled(raw: str) -> str:
    """Return the dialled characters of a text: digits, `*`, `#` and a leading `+`; empty where no digit is."""
    kept = _NOT_DIALLED.sub("", _END.split(raw, maxsplit=1)[0])
    kept = ("+" if kept.startswith("+") else "") + kept.replace("+", "")
    return kept if kept.strip("*#+") else ""


@lru_cache(maxsize=_REMEMBERED)
def _canonical(raw: str, country: str, area_code: str) -> str:
    dialled = _dialled(raw)
    if not dialled or "*" in dialled or "#" in dialled:
        return dialled[:_LONGEST]
    # `+` is written beside its meaning: a number that is already international needs no guess.
    if dialled.startswith("+"):
        return _e164(dialled, country, "possible") or dialled[:_LONGEST]
    local = ""
    if area_code and len(dialled) <= _LONGEST_LOCAL and not dialled.startswith("0"):
        local = area_code + dialled
    if len(dialled) < _SHORTEST_NATIONAL:
        return _e164(local, country, "valid") or dialled
    national = _e164(dialled, country, "valid")
    if national:
        return national
    # No country has national numbers that begin with 00: it is dialled for `+` also where the plan says 810 or 011.
    if dialled.startswith("00"):
        return _e164("+" + dialled[2:], country, "possible") or dialled[:_LONGEST]
    return (
        _e164(local, country, "valid")
        # A range newer than the library: of the right length is better than foreign.
        or _e164(dialled, country, "possible")
        or _e164(local, country, "possible")
        # Trunks show foreign callers without the plus: 380447500123 in Russia.
        or _e164("+" + dialled, country, "valid")
        or dialled[:_LONGEST]
    )


def _e164(number: str, country: str, wanted: str) -> str:
    """Return E.164 where the number is `valid` (in an assigned range) or `possible` (of a right length), else ""."""
    # Imported here: it costs 14 ms, which a process that never reads a number should not pay.
    import phonenumbers

    if not number:
        return ""
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return ""
    if wanted == "valid":
        accepted = phonenumbers.is_valid_number(parsed)
    else:
        # Not `is_possible_number`: that one says yes to local numbers without their area code.
        reason = phonenumbers.is_possible_number_with_reason(parsed)
        accepted = reason == phonenumbers.ValidationResult.IS_POSSIBLE
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return written if accepted and len(written) <= _LONGEST else ""


@lru_cache(maxsize=_REMEMBERED)
def _long_distance(whole: str, country: str) -> str:
    """Return how an E.164 number of the country is dialled in it, `84957770000`; empty for every other number."""
    import phonenumbers

    code = phonenumbers.country_code_for_region(country) if whole.startswith("+") else 0
    if not code or not whole.startswith(f"+{code}"):
        return ""
    return (phonenumbers.ndd_prefix_for_region(country, True) or "") + whole[len(f"+{code}") :]


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str] | None:
    """Return the regular expression of an Asterisk pattern, or None where it is none. It matches in linear time."""
    # Asterisk ignores hyphens and blanks between the characters of a pattern.
    text = re.sub(r"[- ](?![^\[]*\])", "", pattern.lstrip("_"))
    parts, at = [], 0
    while at < len(text):
        token = _PATTERN_TOKEN.match(text, at)
        if token is None:
            return None
        plain = token[0] if token[0].startswith("[") else re.escape(token[0])
        parts.append(_PATTERN_LETTERS.get(token[0].upper(), plain))
        at = token.end()
    try:
        return re.compile("".join(parts) + r"\Z", re.DOTALL) if parts else None
    except re.error:
        return None
