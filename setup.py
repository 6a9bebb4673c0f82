"""Packaging of sr3d_jax; each dependency says why it is here."""

import os
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

REQUIRED = [
  'jax>=0.10.2,<0.13',  # arrays, gradients, compilation
  'flax>=0.12.8',  # linen modules, hidden behind `Network`
  'optax>=0.2.8',  # optimisers
  'orbax-checkpoint>=0.12.8',  # checkpoints that survive a kill
  'ml-collections>=1.1.0',  # configs
  'absl-py>=2.4',  # flags
  'numpy>=2.0',
  'safetensors>=0.5.3',  # weights of diffusion models, read in place
  'scipy>=1.13',  # nearest neighbours for the first scales
  'pillow>=11',  # image files, EXIF
  'dm-pix>=0.4.4',  # PSNR and SSIM as the field computes them
  'tqdm>=4.66',  # progress
  'tensorboardX>=2.6',  # scalars without TensorFlow
  'matplotlib>=3.9',  # curves in the report
  'av>=14',  # orbit video, 16-bit PNG
  'grain>=0.2.18',  # photographs and batches read ahead, in order
  'zstandard>=0.23',  # version 4 of .spz, until Python 3.14 is the oldest
]

EXTRAS = {
  'data': [
    'pycolmap>=4.2',  # structure from motion, triangulation, models
    'tensorflow-datasets>=4.9.10',  # DIV2K and others, without TensorFlow
    'trimesh>=5.2',  # files of meshes
    # Embree: where rays meet them; not built for Linux on ARM
    'embreex>=4.4; platform_machine != "aarch64"',
    'fast-simplification>=0.2',  # the same shape of fewer triangles
  ],
  'eval': ['scikit-image>=0.24'],  # a second opinion on metrics, in the tests
  'torch-parity': ['torch>=2.5'],  # oracle for ported networks
  'dev': ['pytest>=8', 'pytest-xdist>=3.6', 'ruff>=0.12', 'pre-commit>=4'],
  'cuda': ['jax[cuda13]>=0.10.2,<0.13'],
  'tpu': ['jax[tpu]>=0.10.2,<0.13'],
}

sys.path.insert(0, str(Path(__file__).parent))
from kernels import sources  # noqa: E402, on no path before

OURS = ['sr3d_jax', 'sr3d_jax.*', 'experiments', 'configs', 'configs.*']
KERNELS = find_packages(include=['kernels', 'kernels.*'])

# The native kernels, loaded through jax.ffi and not a Python module. They are
# built for this machine, or with SR3D_PORTABLE=1 for any of its family.
FLAGS = [
  '-std=c++17',
  '-O3',
  '-g0',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-ffp-contract=fast',
  '-fvisibility=hidden',
  '-Wno-psabi',
  f'-DSR3D_SOURCES="{sources.digest()}"',
]
ROOT = Path(__file__).parent.resolve()


def find(pattern: str) -> list[str]:
  """Files of the native kernels, relative to this one, as setuptools wants."""
  files = [x for y in sources.folders() for x in sorted(y.glob(pattern))]
  return [str(x.resolve().relative_to(ROOT)) for x in files]


NATIVE = Extension(
  'sr3d_kernels._native',
  sources=find('*.cc'),
  depends=find('*.h'),
  include_dirs=['kernels/native'],
  extra_compile_args=FLAGS
  + ([] if os.environ.get('SR3D_PORTABLE') else ['-march=native']),
  language='c++',
  optional=True,
)


class BuildWhereAble(build_ext):
  """Builds the native kernels; without a compiler, says what is lost."""

  def finalize_options(self):
    """Builds anew each time: what was built may be of other flags."""
    super().finalize_options()
    self.force = True

  def run(self):
    """Takes what an earlier build left away first: this one may fail."""
    Path(self.get_ext_fullpath(NATIVE.name)).unlink(missing_ok=True)
    super().run()

  def build_extension(self, ext):
    """Compiles one extension, or leaves it out with one line."""
    try:
      import jaxlib  # its headers; see pyproject.toml

      ext.include_dirs.append(str(Path(jaxlib.__file__).parent / 'include'))
      super().build_extension(ext)
    except Exception as error:
      reason = str(error).splitlines()[0][:60]
      print(
        'sr3d_jax: the native kernels were not built, so that drawing and '
        'fitting on a CPU take several times as long; install g++ 12 or newer, '
        f'or clang++, and install again ({reason})'
      )


setup(
  name='sr3d_jax',
  version='0.1.0',
  description='3D super-resolution with Gaussian splats in JAX',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=find_packages(include=OURS) + [f'sr3d_{name}' for name in KERNELS],
  # The bare name `kernels` is taken on the package index.
  package_dir={'sr3d_kernels': 'kernels'},
  package_data={'sr3d_jax': ['weights/*', 'io/*.html']},
  ext_modules=[NATIVE],
  cmdclass={'build_ext': BuildWhereAble},
  install_requires=REQUIRED,
  extras_require=EXTRAS,
)
