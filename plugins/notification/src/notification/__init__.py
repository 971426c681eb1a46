"""
The facade of `notification`: what other modules may import.
"""
