"""The one tree of errors: each class carries a hint for a person, and says whether trying again can help."""

from __future__ import annotations

from typing import Sequence


class Bx24Error(Exception):
    """The root of everything that this product raises on purpose.

    :param message: what happened, in one sentence, free of secrets.
    :param hint: what to do about it, best a command to type; the class's own hint where none is given.
    """

    hint = "Run `bx24 check`: it says what is wrong and what to type."
    retryable = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint


class ConfigurationError(Bx24Error):
    """The YAML can't be used. `problems` holds every finding, one printable line each."""

    hint = "Correct the file, then run `bx24 check`."

    def __init__(self, problems: Sequence[str], hint: str = "") -> None:
        super().__init__("; ".join(problems), hint)
        self.problems = tuple(problems)


class ServiceError(Bx24Error):
    """The service can't start or can't be reached."""

    hint = "See `systemctl status freepbx-bx24` and /var/log/asterisk/freepbx_bx24.log."


class JournalError(Bx24Error):
    """The journal can't be opened, read or written."""

    hint = "Check free space and the owner (asterisk) of /var/lib/freepbx-bx24."


class ChannelError(Bx24Error):
    """The AGI conversation with Asterisk ended or made no sense; the call itself is not touched."""

    hint = "Nothing to do if it is rare: the caller hung up in that instant."


class SandboxError(Bx24Error):
    """The sandbox (portal, Asterisk root, phones) can't be set up or driven."""

    hint = "`sudo ./install.sh --demo --remove` clears what an interrupted run left."


class PortalError(Bx24Error):
    """Anything that went wrong between here and the portal.

    `ambiguous` is true where the request may have been carried out although no answer came.
    """

    ambiguous = False


class PortalUnreachable(PortalError):
    """No connection: name not resolving, refused, TLS failed. The request was certainly not carried out."""

    hint = "Check the network, DNS and the portal's address: `bx24 check`."
    retryable = True


class PortalTimeout(PortalError):
    """The connection was made, but no whole answer came in time. The request may have been carried out."""

    hint = "The portal is slow or a firewall holds the answer back: `bx24 check`."
    retryable = True
    ambiguous = True


class PortalBroken(PortalError):
    """An answer came that is no answer of a portal: HTML, a cut or empty body, wrong types, a gateway error."""

    hint = "Look whether the portal's web page opens; a proxy may be in the way."
    retryable = True
    ambiguous = True


class PortalRefused(PortalError):
    """The portal answered with an error of its own.

    :param code: `error` of the reply; the empty string for telephony's own errors.
    :param description: `error_description`, already made harmless.
    :param status: HTTP status.
    """

    def __init__(self, code: str, description: str, status: int, hint: str = "") -> None:
        super().__init__(f"the portal refused: {code or 'no code'}: {description or 'no description'}", hint)
        self.code = code
        self.description = description
        self.status = status


class PortalBusy(PortalRefused):
    """The portal asks for patience (too many requests, operation time used up, overload). Nothing was carried out."""

    hint = "Nothing to do: it is tried again by itself."
    retryable = True


class PortalAuthorisation(PortalRefused):
    """The portal does not let us in: wrong or deleted webhook, missing scope or right, no commercial plan."""

    hint = "Make a new webhook with the rights telephony, user and crm, and put its URL into the webhook file."


class CallNotFound(PortalRefused):
    """The portal does not know this CALL_ID as an open call: finished already, or never registered."""

    hint = "Nothing to do: the journal settles it."


class RecordNotReady(PortalRefused):
    """A recording was sent for a call that is not finished yet."""

    hint = "Nothing to do: it is tried again by itself."
    retryable = True


class PersonUnknown(PortalRefused):
    """The portal knows no active user by this USER_ID or internal number. Nothing was carried out."""

    hint = "Give the extension's owner this internal number in Bitrix24, or correct `people` and `default_person`."
