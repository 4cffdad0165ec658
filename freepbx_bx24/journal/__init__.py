"""What is known of each call and what the CRM is still owed, on disk before it is attempted."""
