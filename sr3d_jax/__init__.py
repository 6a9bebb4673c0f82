"""JAX codebase for 3D super-resolution with Gaussian splats."""
