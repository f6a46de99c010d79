"""The demonstration: a load balancer does its job on real traffic and is judged by what was measured."""
