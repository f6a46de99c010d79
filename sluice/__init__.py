"""The command `sluice`: the controller's, but for `sluice switch`, which is the embedded switch."""
