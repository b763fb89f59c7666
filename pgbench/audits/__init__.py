"""Adapters to other libraries: their own functions, called on one batch; a file per library.

``python -m pgbench audit`` runs those of installed libraries. A file is imported only where its
library is; it names the distribution, and each of its functions says in the first line of its
docstring what of the library it calls, with which options. Adapters call, they do not copy.
"""
