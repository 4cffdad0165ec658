"""The sandbox: what the product is tried and tested against. Used by the commands and the tests alone."""
