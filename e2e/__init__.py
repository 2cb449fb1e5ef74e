"""Scenarios every back end must show, and the runner that plays them.

A scenario is a world, steps and expectations; it contains no word about its back end. What it
needs beyond plain Kubernetes it names in `needs`, and a back end says what it has.
"""
