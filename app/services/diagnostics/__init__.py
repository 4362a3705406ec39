"""Can the bridge do its work, and what would a person have to do about it?

LAW: looks, and changes nothing but what a test made itself. Knows no other capability but ``sync``'s public functions.
"""
