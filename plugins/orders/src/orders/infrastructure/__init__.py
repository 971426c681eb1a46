"""Orders in PostgreSQL, payments over HTTP, mails where `notification` is installed."""
