"""What a hangup handler finds on the channel of an outside call, written into Asterisk's log by dialplan of its own."""

from __future__ import annotations

import time
from typing import Mapping

from freepbx_bx24.sandbox.pbx.harness import SandboxPbx

from .admins import LOG

VARIABLES = (
    *("DIALSTATUS", "DIALEDPEERNUMBER", "MEMBERINTERFACE", "MEMBERNAME", "HANGUPCAUSE", "ANSWEREDTIME"),
    *("CDR(disposition)", "CONNECTEDLINE(num)", "QUEUENUM", "IVR_CONTEXT", "VMSTATUS", "BLINDTRANSFER", "FROM_DID"),
)
# As an admin's hooks stand: before every inbound route, and before every trunk.
HOOKS = """
[from-pstn]
exten => _[+0-9*#]!,1,Gosub(seen-begins,s,1(${CALLERID(num)}))
 same => n,Goto(seen-pstn,${EXTEN},1)
[seen-pstn]
include => from-pstn-custom
include => ext-did
include => ext-did-post-custom
include => from-did-direct
include => ext-did-catchall
[macro-dialout-trunk-predial-hook]
exten => s,1,Gosub(seen-begins,s,1(${DIAL_NUMBER}))
 same => n,ExecIf($["${MACRO_CONTEXT}" = ""]?Return())
[seen-begins]
exten => s,1,GotoIf($["${SEEN}" != ""]?done)
 same => n,Set(__SEEN=${ARG1:-10})
 same => n,Set(CHANNEL(hangup_handler_push)=seen-ends,s,1)
 same => n(done),Return()
[seen-ends]
exten => s,1,Log(NOTICE,seen|${SEEN}%s|)
 same => n,Return()
"""


def hooks() -> str:
    """The dialplan that writes it down."""
    return HOOKS % "".join(f"|{name}=${{{name}}}" for name in VARIABLES)


def at_the_end(pbx: SandboxPbx, number: str, timeout: float = 10.0) -> Mapping[str, str]:
    """The variables at the end of the call whose outside number ends so; waits for it."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for line in pbx.root.outside(LOG).read_text(encoding="utf-8", errors="replace").splitlines():
            _, mark, told = line.partition(f": seen|{number[-10:]}|")
            if mark:
                return dict(part.split("=", 1) for part in told.rstrip("|").split("|"))
        time.sleep(0.1)
    raise AssertionError(f"no end of {number} in the log")
