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


class AmiError(Bx24Error):
    """Anything that went wrong between here and Asterisk's manager interface (AMI); calls are not touched."""

    hint = "Look at `asterisk -rx 'manager show connected'` and run `bx24 check`."


class AmiUnreachable(AmiError):
    """No connection to the manager interface, or it ended. It comes back by itself once Asterisk does."""

    hint = "Check that Asterisk runs, and that [general] of /etc/asterisk/manager.conf says enabled=yes and this port."
    retryable = True


class AmiTimeout(AmiError):
    """The manager interface did not answer in time. An action may have been carried out all the same."""

    hint = "Asterisk hangs or is overloaded: look at `asterisk -rx 'core show uptime'` and the machine's load."
    retryable = True


class AmiRefused(AmiError):
    """Asterisk answered an action, or the login, with an error of its own. The same again gives the same."""

    hint = "Look at the user's rights: `asterisk -rx 'manager show user NAME'`."


class RecordingError(Bx24Error):
    """A recording can't be made into a file that the portal takes; the call itself is told as it was."""

    hint = "Look at the file: is it whole, and can `ffmpeg -i FILE` read it? Then `bx24 recordings --retry`."
    retryable = True


class SandboxError(Bx24Error):
    """The sandbox (portal, Asterisk root, phones) can't be set up or driven."""

    hint = "`sudo ./install.sh --demo --remove` clears what an interrupted run left."


# What is to be done about an error of the portal: PortalError.remedy.
AGAIN = "again"  # the same request, later, can succeed
REFRESH = "refresh"  # a new access token, then the same request once more
LOGIN = "log in"  # a person must type `bx24 login`; nothing can be sent until then
STOP = "stop"  # a person must change something on the portal or in the YAML; nothing can be sent until then
SETTLE = "settle"  # an earlier attempt may have done it: look it up, then it is done or begins anew
DONE = "done"  # what was wanted is so already
GIVE_UP = "give up"  # this very request can't succeed, however often it is repeated

# Who is to blame, so what has to wait: PortalError.blame.
PORTAL = "portal"  # everything waits
METHOD = "method"  # requests of the same method wait
ITEM = "item"  # this request alone


class PortalError(Bx24Error):
    """Anything that went wrong between here and the portal.

    :cvar remedy: what is to be done about it, one of the words above; `retryable` follows from it.
    :cvar blame: what else has to wait for that.
    :ivar pause_seconds: wait at least so long before the remedy is tried; 0: the usual back-off.
    :cvar ambiguous: the request may have been carried out although no answer came.
    """

    retryable = True
    remedy = AGAIN
    blame = PORTAL
    pause_seconds = 0.0
    ambiguous = False


class PortalUnreachable(PortalError):
    """No connection: name not resolving, refused, TLS failed. The request was certainly not carried out."""

    hint = "Check the network, DNS and the portal's address: `bx24 check`."


class PortalTimeout(PortalError):
    """The connection was made, but no whole answer came in time. The request may have been carried out."""

    hint = "The portal is slow or a firewall holds the answer back: `bx24 check`."
    ambiguous = True


class PortalBroken(PortalError):
    """An answer came that is no answer of a portal: HTML, a cut or empty body, wrong types, a gateway error."""

    hint = "Look whether the portal's web page opens; a proxy may be in the way."
    ambiguous = True


class PortalWaits(PortalError):
    """Not sent: the request budget of this machine had no room in time (`blame` tells: for this method, or at all).

    :ivar method: the one to blame, in lower case; empty where it is none.
    """

    hint = "Nothing to do: it is sent as soon as the portal's limits allow."
    method = ""


class PortalRefused(PortalError):
    """The portal answered with an error of its own, and a repeat of the same request gets the same answer.

    :param code: `error` of the reply; the empty string for telephony's own errors.
    :param description: `error_description`, already made harmless.
    :param status: HTTP status; 0 where the reply has none of its own (an entry of a batch).
    """

    retryable = False
    remedy = GIVE_UP
    blame = ITEM

    def __init__(self, code: str, description: str, status: int, hint: str = "") -> None:
        said = ": ".join(text for text in (code, description) if text)
        super().__init__(f"the portal refused: {said or f'HTTP {status} without a reason'}", hint)
        self.code = code
        self.description = description
        self.status = status


class PortalBusy(PortalRefused):
    """The portal asks for patience. Nothing was carried out, unless `ambiguous` says otherwise."""

    hint = "Nothing to do: it is tried again by itself."
    retryable = True
    remedy = AGAIN
    blame = PORTAL
    pause_seconds = 1.0


class MethodBusy(PortalBusy):
    """One method has used up its operating time (HTTP 429); all others go on. Nothing was carried out."""

    blame = METHOD
    pause_seconds = 60.0


class PortalBlocked(PortalBusy):
    """The portal's REST was blocked by hand because of overload; this does not pass by itself within minutes."""

    hint = "The portal's REST is blocked because of overload: ask Bitrix24's support."
    pause_seconds = 600.0


class PortalAuthorisation(PortalRefused):
    """The portal does not let us in until a person changes something: no right, no scope, no plan, a wrong key."""

    hint = "Make a new webhook with the rights telephony, user and crm, and put its URL into the webhook file."
    remedy = STOP
    blame = PORTAL
    pause_seconds = 60.0


class MethodForbidden(PortalAuthorisation):
    """One method is not there for us, or its right or scope is missing, until a person changes that; others go on."""

    hint = (
        "Give the webhook (or the application) the rights telephony, user and crm, and an administrator as its owner."
    )
    blame = METHOD


class NeedsApplication(PortalAuthorisation):
    """The portal lets no webhook use this method (others may go on): it wants a local application."""

    hint = "A webhook is not enough for this portal: it needs a local application. Make one, then type `bx24 login`."
    remedy = LOGIN
    blame = METHOD


class TokenExpired(PortalAuthorisation):
    """The access token has expired or is not known (any more): a new one may help."""

    hint = "Nothing to do if it is rare; otherwise log in again: `bx24 login`."
    retryable = True
    remedy = REFRESH
    pause_seconds = 0.0


class LoginNeeded(PortalAuthorisation):
    """There is no token, or none that can be renewed: somebody has to authorise the local application (again)."""

    hint = "Type `bx24 login`. Until then calls are kept and told to the portal afterwards."
    remedy = LOGIN


class PortalGone(PortalAuthorisation):
    """The portal was deleted, stopped, or never had that address."""

    hint = "The portal was deleted or stopped: ask its owner."


class CallNotFound(PortalRefused):
    """The portal does not know this CALL_ID as an open call: finished already, or never registered."""

    hint = "Nothing to do: the journal settles it."
    remedy = SETTLE


class RecordNotReady(PortalRefused):
    """A recording was sent for a call that is not finished yet."""

    hint = "Nothing to do: it is tried again by itself."
    retryable = True
    remedy = AGAIN


class UploadStale(PortalRefused):
    """An upload address was not accepted (any more). A new one has to be asked for: each belongs to one token."""

    hint = "Nothing to do: a new upload address is asked for by itself."
    retryable = True
    remedy = AGAIN


class RecordRefused(PortalRefused):
    """The portal does not take this file as a recording: its name, its type or its content is wrong."""

    hint = "The portal takes recordings in wav and mp3: look at the file's format and whether it is whole."


class TooLarge(RecordRefused):
    """The request is larger than the portal or a proxy before it takes; a recording then goes by an upload address."""

    hint = "A recording is too large for the portal or for a proxy before it: record in mono, or in mp3."


class PersonUnknown(PortalRefused):
    """The portal knows no active user by this USER_ID or internal number. Nothing was carried out."""

    hint = "Give the extension's owner this internal number in Bitrix24, or correct `people` and `default_person`."


class AlreadySo(PortalRefused):
    """What was asked for is so already (the line exists, the handler is bound): treat it as done."""

    hint = "Nothing to do."
    remedy = DONE


class FeatureMissing(PortalRefused):
    """The portal's plan or modules lack this feature: do without it."""

    hint = "Nothing to do if you can do without it; else the portal's plan or its modules must be extended."


class DatabaseRefused(PortalRefused):
    """The portal's database took a value badly, half-way: what was done before stays done, so it is never repeated.

    A finish that fails so has made its CRM activity, and each repeat would make one more.
    """

    hint = "Part of it may be in the CRM, so nothing repeats it: look at the call there, and report it with the log."


class UnknownRefusal(PortalRefused):
    """The portal refused in words that we do not know: its own language, or a newer version.

    In the portal's own language are attachRecord's complaints about the type, an existing name and a full disk: there
    one more attempt under a new FILENAME can help, a second one can't.
    """

    hint = "The portal's own words say why; if they name no fault of yours, report them."
