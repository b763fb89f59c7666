"""The grid file: what it may say, how it is read, and the plan that it makes."""
