"""The plain way, to compare with: one pyst2 + requests + PyYAML script a step, as a how-to would write it."""

import sys

import requests
import yaml
from asterisk.agi import AGI


def main(kind: str, configuration: str) -> None:
    """Register or finish one call straight from the AGI script."""
    with open(configuration) as file:  # noqa: PTH123 - as a how-to would write it
        settings = yaml.safe_load(file)
    with open(settings["portal"]["webhook_file"]) as file:  # noqa: PTH123
        url = file.read().strip()
    agi = AGI(stderr=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    if kind == "register":
        parameters = {
            "USER_PHONE_INNER": "101",
            "PHONE_NUMBER": agi.env["agi_callerid"],
            "TYPE": 2,
            "CRM_CREATE": 1,
            "LINE_NUMBER": settings["default_line"],
            "EXTERNAL_CALL_ID": agi.env["agi_uniqueid"],
        }
        answer = requests.post(url + "telephony.externalCall.register", json=parameters, timeout=5).json()["result"]
        for name in ("CALL_ID", "CRM_ENTITY_TYPE", "CRM_ENTITY_ID"):
            agi.set_variable("__BX24_" + name, str(answer[name] or ""))
        agi.set_variable("__BX24_STATUS", "REGISTERED")
    else:
        parameters = {
            "USER_PHONE_INNER": "101",
            "CALL_ID": agi.get_variable("BX24_CALL_ID"),
            "DURATION": agi.get_variable("ANSWEREDTIME") or 0,
            "STATUS_CODE": "200" if agi.get_variable("DIALSTATUS") == "ANSWER" else "304",
        }
        requests.post(url + "telephony.externalCall.finish", json=parameters, timeout=5)


main(sys.argv[1], sys.argv[2])
