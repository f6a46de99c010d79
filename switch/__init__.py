"""The embedded P4Runtime switch: BMv2 JSON to C to native code, ports, and a P4Runtime server."""
