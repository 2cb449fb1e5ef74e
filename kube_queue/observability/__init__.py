"""What can be seen from outside: the metrics by name, and the form of a log line.

Holds: the catalogue of metrics, the meters that count them, the configuration of the log.
May import: api.
Never: opens a port, decides anything, or keeps a global registry.
"""
