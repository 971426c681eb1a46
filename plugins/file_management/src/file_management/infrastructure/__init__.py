"""Tables, reads, the storage's far side: everything that names a vendor."""
