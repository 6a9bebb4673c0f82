"""What the paper of 3DSR means, and better: the section of `diffusion`."""

from configs.priors.diffusion import get_config

__all__ = ['get_config']
