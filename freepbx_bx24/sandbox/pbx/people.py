"""Who the sandbox's people are, as FreePBX keeps it in AstDB: their telephones, mailboxes, desks and follow-me.

Eight tracks of extensions, 1k1..1k9 for k = 0..7, have one of each kind; what they are for stands in
configs/extensions_additional.conf.
"""

from __future__ import annotations

from typing import Sequence

EXTENSIONS = tuple(str(number) for number in range(101, 181))
TRACKS = range(8)
# A second telephone of one person, named as FreePBX names the WebRTC twin of an extension.
TWIN_PREFIX = "99"
TWINS = tuple(f"{TWIN_PREFIX}1{track}8" for track in TRACKS)
MAILBOXES = tuple(f"1{track}5" for track in TRACKS)
FOLLOW_ME = tuple(f"1{track}6" for track in TRACKS)
DESKS = tuple(f"1{track}9" for track in TRACKS)
# FreePBX's own switch for each extension, on for new ones (Advanced Settings, "Enable Call Waiting").
CALL_WAITING = "ENABLED"


Row = tuple[str, str]


def track_of(device: str) -> int:
    """The track of a device (8: extension 180's). Whoever is on the same one may pick up its calls with *8."""
    return int(device[-2])


def caller_id(device: str) -> str:
    """What stands in `callerid` of a device: the name of its person, or none where that is AstDB's to say."""
    name = "device" if device in TWINS or device in DESKS else f"Extension {device}"
    return f"{name} <{device}>"


def rows() -> Sequence[Row]:
    """Keys and values of AstDB for all of them."""
    found: list[Row] = []
    for device in (*EXTENSIONS, *TWINS):
        user = device[len(TWIN_PREFIX) :] if device in TWINS else device
        found += [
            (f"/DEVICE/{device}/user", user),
            (f"/DEVICE/{device}/dial", f"PJSIP/{device}"),
            (f"/DEVICE/{device}/type", "adhoc" if device in DESKS else "fixed"),
        ]
    for user in EXTENSIONS:
        twin = f"{TWIN_PREFIX}{user}"
        found += [
            (f"/AMPUSER/{user}/device", f"{user}&{twin}" if twin in TWINS else user),
            (f"/AMPUSER/{user}/cidname", f"Extension {user}"),
            (f"/AMPUSER/{user}/cidnum", user),
            (f"/AMPUSER/{user}/voicemail", "default" if user in MAILBOXES else "novm"),
            (f"/CW/{user}", CALL_WAITING),
        ]
    for user in FOLLOW_ME:
        followme = f"/AMPUSER/{user}/followme"
        found += [
            (f"{followme}/ddial", "DIRECT"),
            (f"{followme}/prering", "1"),
            (f"{followme}/grptime", "20"),
            (f"{followme}/grplist", f"{user}-{user[:2]}1"),
        ]
    return found


def hints() -> str:
    """The hints of all extensions: the state of each person's own telephones."""
    lines = []
    for user in EXTENSIONS:
        twin = f"{TWIN_PREFIX}{user}"
        devices = f"PJSIP/{user}&PJSIP/{twin}" if twin in TWINS else f"PJSIP/{user}"
        lines.append(f"exten => {user},hint,{devices}&Custom:DND{user}")
    return "\n".join(lines)
