"""The floor: the same work by hand, in the fewest round trips. Nobody would maintain a product written so."""
