#!/opt/freepbx-bx24/venv/bin/python3 -IS
"""AGI(bx24_register.py,in|out,DID or number): register this external call with the CRM while the caller waits."""

import sys

sys.path.append("/opt/freepbx-bx24/lib")

from freepbx_bx24.guard import main

main("register")
