"""The compiler: BMv2 JSON to a typed program to readable C."""
