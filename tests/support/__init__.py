"""What several parts of the tests use."""
