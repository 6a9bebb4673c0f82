"""The constants of compositing, shared by every backend.

They are those of the published renderers (Kerbl et al. 2023, "3D Gaussian
Splatting"), so that scenes trained elsewhere look the same here. They may only
change together: tile lists are exact for `ALPHA_MIN`.
"""

# A splat fainter than one 8-bit step is not drawn; this bounds its extent.
ALPHA_MIN = 1 / 255

# Keeps 1 - alpha away from zero, by which the backward pass divides.
ALPHA_MAX = 0.99

# A pixel stops before the splat that would leave no more light than this.
TRANSMITTANCE_MIN = 1e-4
