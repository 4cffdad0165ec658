"""The command `bx24`, a file a verb."""
