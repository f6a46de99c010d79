"""Programs of programs/ with what is written to the switch, packets in, and what comes of them.

The cases speak P4Runtime and BMv2's packet service and nothing else, so that they run on the reference switch
too (test_language.py, test_language_bmv2.py).
"""
