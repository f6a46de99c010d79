"""The P4Runtime service of the switch, by the P4Runtime specification 1.5."""
