"""`bx24 serve`: answers the AGI scripts, keeps the journal, tells the portal."""
