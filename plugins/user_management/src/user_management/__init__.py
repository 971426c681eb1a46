"""
The facade of `user_management`: what other modules may import.
"""
