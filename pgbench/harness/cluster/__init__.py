"""Work shared among the workers of a Dask cluster: the only package that knows Dask.

Tasks go out as recipes and records come back; nothing is written but by the client.
"""
