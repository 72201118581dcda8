"""Data sets known by address and checksum."""
