"""FreePBX and Asterisk calls in Bitrix24: registered while the caller waits, finished at hangup, never lost."""

__version__ = "0.1.0"
