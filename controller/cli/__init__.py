"""The command `sluice`: `main` puts it together, one module for each noun, `output` for what is printed."""
