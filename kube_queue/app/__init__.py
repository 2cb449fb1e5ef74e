"""Composition roots: the processes of the product, put together.

Holds: one module for each process or command that runs for long (controller, job_extensions,
    local), and what joins rooms that do not know each other (in_process, virtual_time).
May import: every room.
Never: policy. What is decided here is only who gets which clock, chance, client and settings; the
    wall clock and the environment are read here and nowhere below.
"""
