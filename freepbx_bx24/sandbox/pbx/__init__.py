"""A real Asterisk in a private root and real SIP endpoints around it: what the product is tried and tested against."""
