"""Everything that speaks with Asterisk."""
