"""Fast operations on arrays: each with a slow twin that defines it.

Floor 1: jax and numpy only. Nothing here knows the types of the project; what a
camera is, `project` alone knows, as arrays.
"""
