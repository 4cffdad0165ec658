"""The options of calls that begin in the portal: clicks and callback forms. Both are off until somebody sets them."""

from __future__ import annotations

from . import kinds
from .option import Option, Section

SECTIONS = (
    Section(
        "clicks",
        "Calls by a click on a number in the portal: the person's telephone rings, then the client's. They need a "
        "local application, and ./install.sh once more after they were switched on: it makes the user who may dial.",
    ),
    Section(
        "callbacks",
        "Callback forms: the target rings, and when a person has answered, the client is dialled. As clicks, they need "
        "a local application and ./install.sh once more.",
    ),
)

OF_A_LINE = (
    Option(
        "lines.*.click_prefix",
        kinds.pattern("[0-9]{1,8}", "1 to 8 digits"),
        "What is dialled before the number when a click chose this line: the prefix of an outbound route.",
        "9",
    ),
    Option(
        "lines.*.callbacks",
        kinds.TARGET,
        "The extension, ring group or queue that this line's callbacks ring, where it is not callbacks.target.",
        "600",
    ),
)

OPTIONS = (
    Option(
        "clicks.enabled", kinds.choice(yes=True, no=False), "Whether clicks in the portal are dialled.", "yes", "no"
    ),
    Option(
        "clicks.countries",
        kinds.list_of(kinds.COUNTRY),
        "Countries that clicks and callbacks may call; without it the own one alone. Premium, shared cost and "
        "satellite numbers are never called.",
        "[RU, KZ]",
    ),
    Option("clicks.per_minute", kinds.whole(1, 100, "calls a minute"), "The most clicks of one person.", "5", "10"),
    Option(
        "clicks.from_mobile",
        kinds.choice(extension="extension", own_mobile="own_mobile"),
        "What a click in the mobile application rings first: the person's extension, or his own mobile.",
        "own_mobile",
        "extension",
    ),
    Option(
        "callbacks.target",
        kinds.TARGET,
        "The extension, ring group or queue that rings for a callback; off: callbacks are not made.",
        "600",
        "off",
    ),
    Option(
        "callbacks.hours",
        kinds.HOURS,
        "When callbacks are made; others wait.",
        "Mon-Sat 10:00-20:00",
        "Mon-Sun 00:00-24:00",
    ),
    Option(
        "callbacks.timezone", kinds.TIMEZONE, "The time zone of these hours; without it the machine's.", "Europe/Moscow"
    ),
    Option("callbacks.attempts", kinds.whole(1, 10, "attempts"), "How often a callback is tried.", "2", "3"),
    Option(
        "callbacks.pause", kinds.whole(1, 1440, "minutes, such as 5 or 5m", "m"), "Between two attempts.", "15", "5"
    ),
    Option(
        "callbacks.per_hour", kinds.whole(1, 1000, "callbacks an hour"), "The most callbacks of all forms.", "20", "60"
    ),
)
