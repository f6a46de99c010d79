"""Wrong files, commands and API calls, each with the message that it gets (`cases.yaml`), and their test."""
