"""The network that the demonstration and the system tests run in: Mininet inside one network namespace."""
