"""Every option of the YAML, declared once: what loads it, checks it, and writes the sample and the reference page."""

from __future__ import annotations

from typing import Sequence

from . import click_options, kinds
from .option import Option, Section

_CREATE = kinds.choice(portal="portal", unknown="unknown", never="never")
_CREATE_IN = "For inbound calls: as the portal decides, only where a search finds nobody (unknown), or never."
_CREATE_OUT = "For outbound calls: as the portal decides, only where a search finds nobody (unknown), or never."
_CARDS = kinds.choice(ring="ring", answer="answer", never="never")
_CARDS_DOC = "When a person's card opens: when the phone rings, when it is answered, or never."
_MISSED_OWNER = kinds.list_of(kinds.choice(responsible="responsible", last_rung="last_rung", person="person"))
_MISSED_OWNER_DOC = (
    "Who owns a missed call, in this order: the client's manager in the CRM, whose phone rang last, the line's person."
)
_RESPONSIBLE_DOC = "For how long the client's manager in the CRM is rung first, or no."
_CLIENT_NAME_DOC = "Whether phones show the client's name from the CRM."
_RECORDINGS = kinds.choice(answered="answered", always="always", never="never")
_RECORDINGS_DOC = "Whose recordings the CRM gets: of answered calls, of all calls that have one (always), or never."
_YES_NO = kinds.choice(yes=True, no=False)
_SHOWN = kinds.choice(full=False, masked=True)

SECTIONS = (
    Section(
        "portal",
        "The Bitrix24 portal. The way in is either a local application (url, client_id and client_secret_file; then "
        "`bx24 login`), which can do everything, or an inbound webhook (webhook_file), which is the quick start.",
        ways=(("url", "client_id", "client_secret_file"), ("webhook_file",)),
    ),
    Section("wait", "The longest that a call waits for the portal; then it goes on, and the CRM learns of it later."),
    Section("line_defaults", "What a line does where it says nothing else, and what numbers do that are no line here."),
    Section("line_defaults.create", "Whether the CRM makes a lead or deal for an unknown client."),
    Section("lines", "Your numbers, each named by its number in the CRM (LINE_NUMBER).", kinds.LINE, '"+74957770000"'),
    Section("lines.*.create", "As line_defaults.create, for this line."),
    Section("skip", "Calls that the CRM never learns of."),
    Section(
        "people",
        "Whose device it is, for devices that are no extension in Bitrix24: five digits, or a name.",
        kinds.text(80),
        '"10101"',
    ),
    Section("recordings", "How a call's recording goes to the CRM. The files on this machine are never changed."),
    *click_options.SECTIONS,
    Section(
        "events",
        "How clicks and callback forms come from the portal. Without an address the service asks for them every "
        "second: nothing of this machine has to be reachable. See docs/events.md.",
    ),
    Section("keep", "How long things are kept."),
)

OPTIONS = (
    Option(
        "portal.url",
        kinds.ADDRESS,
        "The local application's portal.",
        "https://example.bitrix24.com",
    ),
    Option(
        "portal.client_id",
        kinds.pattern("[A-Za-z0-9._-]{1,100}", "the application's client_id, such as local.0123456789abcd.01234567"),
        "The local application's client_id (application ID), as its page in the portal shows it.",
        "local.0123456789abcd.01234567",
    ),
    Option(
        "portal.client_secret_file",
        kinds.PATH,
        "The file whose only line is the local application's client_secret (application key). "
        "It is a secret: owner root, group asterisk, mode 0640.",
        "/etc/freepbx_bx24.secret",
    ),
    Option(
        "portal.webhook_file",
        kinds.PATH,
        "The file whose only line is the URL of an inbound webhook with the rights telephony, user and crm. "
        "It is a secret: owner root, group asterisk, mode 0640.",
        "/etc/freepbx_bx24.webhook",
    ),
    Option(
        "portal.oauth_url",
        kinds.ADDRESS,
        "The authorisation server, where it is not Bitrix24's own for the portal's region.",
        "https://oauth.bitrix24.tech",
    ),
    Option(
        "portal.plan",
        kinds.choice(**{"ordinary": "ordinary", "enterprise": "enterprise", "self-hosted": "self-hosted"}),
        "How many requests a second the portal takes: 2 on ordinary plans, 5 on Enterprise, any number where it is "
        "your own server.",
        "enterprise",
        "ordinary",
    ),
    Option(
        "portal.ca_bundle",
        kinds.PATH,
        "The certificates (PEM) that sign a self-hosted portal's certificate, where the system does not know them.",
        "/etc/ssl/certs/portal-ca.pem",
    ),
    Option(
        "country",
        kinds.COUNTRY,
        "The country whose number forms are read: 8 495 ..., 495 ... and 810 ... are Russia's, RU.",
        "RU",
        required=True,
        placeholder="PUT_COUNTRY_HERE",
    ),
    Option(
        "area_code",
        kinds.pattern("[0-9]{1,8}", '1 to 8 digits without the national prefix, such as "495"'),
        "The digits before short local numbers, only where such numbers are dialled or shown.",
        '"495"',
    ),
    Option(
        "default_person",
        kinds.PERSON,
        "Who owns what nobody else owns: an extension as it is in Bitrix24, or user:12, a user's ID there.",
        "100",
        required=True,
        placeholder="PUT_EXTENSION_HERE",
    ),
    Option(
        "default_line",
        kinds.LINE,
        "The line of calls whose number is no line here; without it the CRM shows such calls without a line.",
        '"+74957770000"',
    ),
    Option(
        "pbx_id",
        kinds.pattern("[A-Za-z0-9-]{1,20}", "1 to 20 of the characters A-Z a-z 0-9 -"),
        "A name that no other PBX on this portal has. It is a part of every call's identity: never change or copy it.",
        "pbx-7f3a91",
        required=True,
        placeholder="PUT_PBX_ID_HERE",
    ),
    Option("language", kinds.choice(en="en", ru="ru"), "The language of the reasons written into the CRM.", "ru", "en"),
    Option(
        "manager_file",
        kinds.PATH,
        "The file with the user of Asterisk's manager interface by whom calls are watched; manager.conf is beside it.",
        "/usr/local/etc/asterisk/manager_bx24.conf",
        "/etc/asterisk/manager_bx24.conf",
    ),
    Option("wait.in", kinds.seconds(0.1, 10.0), "For an inbound call, in seconds.", "1.5", "2.0"),
    Option("wait.out", kinds.seconds(0.1, 10.0), "For an outbound call, in seconds.", "500ms", "1.0"),
    Option("line_defaults.create.in", _CREATE, _CREATE_IN, "never", "portal"),
    Option("line_defaults.create.out", _CREATE, _CREATE_OUT, "portal", "never"),
    Option("line_defaults.source", kinds.text(50), "The source in the CRM (its STATUS_ID).", "WEB", "CALL"),
    Option("line_defaults.cards", _CARDS, _CARDS_DOC, "answer", "ring"),
    Option(
        "line_defaults.missed_owner",
        _MISSED_OWNER,
        _MISSED_OWNER_DOC,
        "[last_rung, person]",
        "[responsible, last_rung, person]",
    ),
    Option("line_defaults.responsible", kinds.RING_FIRST, _RESPONSIBLE_DOC, "15s", "no"),
    Option("line_defaults.client_name", _YES_NO, _CLIENT_NAME_DOC, "yes", "no"),
    Option("line_defaults.recordings", _RECORDINGS, _RECORDINGS_DOC, "never", "answered"),
    Option("lines.*.name", kinds.text(100), "What people call the line.", "Sales"),
    Option("lines.*.person", kinds.PERSON, "Who owns the line's inbound calls until somebody talks.", "101"),
    Option("lines.*.source", kinds.text(50), "The source in the CRM (its STATUS_ID).", "WEB"),
    Option("lines.*.create.in", _CREATE, _CREATE_IN, "portal"),
    Option("lines.*.create.out", _CREATE, _CREATE_OUT, "never"),
    Option("lines.*.cards", _CARDS, _CARDS_DOC, "answer"),
    Option("lines.*.missed_owner", _MISSED_OWNER, _MISSED_OWNER_DOC, "[person]"),
    Option("lines.*.responsible", kinds.RING_FIRST, _RESPONSIBLE_DOC, "15s"),
    Option("lines.*.client_name", _YES_NO, _CLIENT_NAME_DOC, "yes"),
    Option("lines.*.recordings", _RECORDINGS, _RECORDINGS_DOC, "always"),
    Option("lines.*.dids", kinds.NUMBERS, "More numbers (DIDs) of this line.", '["770002", "_8800333001X"]'),
    *click_options.OF_A_LINE,
    Option("lines.*.trunk", kinds.text(80), "The trunk whose calls without a known number are this line's.", "mts"),
    Option(
        "lines_not_listed",
        kinds.choice(register="register", skip="skip"),
        "What happens to calls of other numbers: skip where several companies share the PBX.",
        "skip",
        "register",
    ),
    Option("skip.dids", kinds.NUMBERS, "Numbers of ours: fax, door phone.", '["+74957770099"]'),
    Option("skip.extensions", kinds.NUMBERS, "Extensions.", '[199, "9XX"]'),
    Option("skip.numbers", kinds.NUMBERS, "Numbers of the other side.", '["+7800*"]'),
    Option("skip.blacklist", _YES_NO, "Callers on FreePBX's blacklist.", "no", "yes"),
    Option(
        "anonymous",
        kinds.ANONYMOUS,
        "What happens to callers without a number: skip, or the digits that the CRM shows for them.",
        '"70000000000"',
        "skip",
    ),
    Option("people.*", kinds.PERSON, "The extension as it is in Bitrix24, or user:12.", "101"),
    Option(
        "people_not_in_portal",
        kinds.choice(default="default", skip="skip"),
        "What happens to calls of people who are not in Bitrix24: the default person owns them, or they are left out.",
        "skip",
        "default",
    ),
    Option(
        "finish_person",
        kinds.choice(last="last", longest="longest", first="first"),
        "Who owns an answered call where several people talked: the last, the one who talked longest, or the first.",
        "longest",
        "last",
    ),
    Option(
        "recordings.format",
        kinds.choice(mp3="mp3", wav="wav"),
        "What is sent: mp3 is a quarter of a wav, and needs ffmpeg, or lame; without them wav is sent.",
        "wav",
        "mp3",
    ),
    Option("recordings.kbps", kinds.whole(8, 320, "kilobits a second"), "The mp3's bit rate.", "64", "32"),
    Option(
        "recordings.min_seconds",
        kinds.whole(0, 3600, "seconds, such as 3 or 3s", "s"),
        "Talks that are shorter are not sent.",
        "10",
        "3",
    ),
    Option("recordings.voicemail", _YES_NO, "A message left is the missed call's recording.", "no", "yes"),
    Option(
        "recordings.several",
        kinds.choice(merge="merge", longest="longest"),
        "Where one call has several recordings: one of them all in order (merge), or the longest.",
        "longest",
        "merge",
    ),
    Option(
        "recordings.folders",
        kinds.list_of(kinds.FOLDER),
        "Where recordings lie; a file elsewhere is never sent. Without it: monitor and voicemail in Asterisk's spool.",
        "[/var/spool/asterisk/monitor, /mnt/recordings]",
    ),
    Option(
        "recordings.base64_up_to",
        kinds.whole(0, 10, "megabytes, such as 5 or 5MB", "MB"),
        "Up to this size a recording goes within the request itself; a larger one to an address for uploads.",
        "0",
        "5",
    ),
    Option(
        "recordings.skip_extensions",
        kinds.NUMBERS,
        "Extensions whose talks are never sent.",
        '[199, "9XX"]',
    ),
    *click_options.OPTIONS,
    Option(
        "events.address",
        kinds.EVENTS_ADDRESS,
        "Where the portal posts them: the address, for everybody, of a web server that passes that one path on to "
        "events.port. Never the web server of FreePBX's pages.",
        "https://pbx.example.com:8443/bx24/events",
    ),
    Option("events.port", kinds.whole(1, 65535, "a port"), "On 127.0.0.1, for that web server.", "18926", "8926"),
    Option("keep.log_numbers", _SHOWN, "How the log shows clients' numbers.", "masked", "full"),
    Option("keep.journal", kinds.DAYS, "The journal's finished calls.", "30d", "90d"),
)


def together(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: `url, client_id and client_secret_file`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
