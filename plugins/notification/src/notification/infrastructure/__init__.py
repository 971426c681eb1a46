"""PostgreSQL, Jinja2 and SMTP, as the use cases of `notification` want them."""
