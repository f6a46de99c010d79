"""The daemon's local HTTP API over a unix socket: `app` and `routes` serve it, `client` speaks to it."""
