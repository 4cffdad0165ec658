"""Clicks and callback forms of the portal on a real Asterisk."""
