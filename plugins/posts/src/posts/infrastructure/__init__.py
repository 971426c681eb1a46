"""Tables, both sides of them, and Markdown."""
