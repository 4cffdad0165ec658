#!/opt/freepbx-bx24/venv/bin/python3 -IS
"""AGI(bx24_finish.py,in|out) in the hangup handler: tell the CRM how this call ended."""

import sys

sys.path.append("/opt/freepbx-bx24/lib")

from freepbx_bx24.guard import main

main("finish")
