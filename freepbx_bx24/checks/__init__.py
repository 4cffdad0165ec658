"""What must be right on this machine and in the portal: one table of checks, and what each of them finds."""
