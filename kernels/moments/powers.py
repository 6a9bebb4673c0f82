"""Which moments there are, and in which order: by degree, then falling in x."""

# (k, l) of dx^k dy^l, k + l <= 4.
POWERS = tuple((d - l, l) for d in range(5) for l in range(d + 1))

INDEX = {power: i for i, power in enumerate(POWERS)}
