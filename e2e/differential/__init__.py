"""The same requests to the embedded API server and to a genuine Kubernetes, answers compared.

Holds: cases as data (cases/), what plays them on a server, masks for what always differs, the
comparison, and the table of differences that are accepted, each with its reason.
`python -m e2e.differential` runs it.
"""
