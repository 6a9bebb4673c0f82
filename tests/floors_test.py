"""The rules of STYLE.md that a program can check, so that neither drifts.

A file imports only from lower floors, and files of one floor do not import each
other, but for networks sharing `blocks`, `encoders`, `heads` and `ensemble`,
GaussianSR knowing its design, the kernels their own files, `shards` and
`hessian` projecting as `render` does, `io` knowing the faintest splat that is
drawn and sharing what reads weights and what turns codes into splats, `meshes`
reading what `raycast` draws, and `photographs` shrinking and `splat_files`
choosing what the other files of `io` read.
"""

import ast
import collections
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FLOORS = (
  'types numerics files',
  'geometry optics sh image lenses raytrace raycast textures io hosts '
  'batched patches prefetch sampling kernel_bank latent_tiles blur_kernels '
  'sr3d_kernels',
  'projection render shards filters capture coarse trajectories density '
  'diffusion losses metrics optim degrade worsen hessian lineage '
  'lineage_tokens children selection surface_scores ordering warp fields '
  'tile_splat kernel_usage calibration films backproject spectra samplers '
  'decimate color_fix niqe similarity view_consistency temporal distances '
  'met3r volume rays gaussian_distances',
  'models fit_step latent_views latent_prior noise_fields trust coverage '
  'judges split_scores split_rules vae_terms hessian_features offspring',
  'priors representations scenes batches fit train consolidate evaluate cli '
  'resolve enlarge table benchmark standings scene_standings validate '
  'split_audits bank_audits field_audits wave_audits methods timing '
  'texture_scores conversion costs vsr_pairs video_scores walks inputs '
  'clip_scores pyramid families vae_drawing grow split_evidence '
  'surface_audits',
  'experiments',
)
FLOOR = {word: i for i, words in enumerate(FLOORS) for word in words.split()}
ALLOWED = (
  ('sr3d_jax.numerics', 'sr3d_jax.types'),
  ('sr3d_jax.models.', 'sr3d_jax.models.blocks'),
  ('sr3d_jax.models.', 'sr3d_jax.models.dense_blocks'),
  ('sr3d_jax.models.', 'sr3d_jax.models.encoders'),
  ('sr3d_jax.models.', 'sr3d_jax.models.heads'),
  ('sr3d_jax.models.', 'sr3d_jax.models.ensemble'),
  ('sr3d_jax.models.', 'sr3d_jax.models.attention'),
  ('sr3d_jax.models.', 'sr3d_jax.models.diffusion_blocks'),
  ('sr3d_jax.models.', 'sr3d_jax.models.transformer'),
  ('sr3d_jax.models.', 'sr3d_jax.models.unet_levels'),
  ('sr3d_jax.models.stablesr', 'sr3d_jax.models.unet'),
  ('sr3d_jax.models.unet_config', 'sr3d_jax.models.unet'),
  ('sr3d_jax.models.', 'sr3d_jax.models.gaussian_design'),
  ('sr3d_jax.models.', 'sr3d_jax.models.spynet'),
  ('sr3d_jax.batches.growths', 'sr3d_jax.batches.lineages'),
  ('sr3d_jax.judges', 'sr3d_jax.models.'),
  ('sr3d_kernels', 'sr3d_kernels'),
  ('sr3d_jax.render', 'sr3d_jax.projection'),
  ('sr3d_jax.shards', 'sr3d_jax.render'),
  ('sr3d_jax.hessian', 'sr3d_jax.render'),
  ('sr3d_jax.samplers', 'sr3d_jax.diffusion'),
  ('sr3d_jax.io.', 'sr3d_kernels.rasterize.constants'),
  ('sr3d_jax.io.pth', 'sr3d_jax.io.pickles'),
  ('sr3d_jax.io.tuple_pickles', 'sr3d_jax.io.pickles'),
  ('sr3d_jax.io.', 'sr3d_jax.io.safetensors'),
  ('sr3d_jax.io.bundles', 'sr3d_jax.io.weights'),
  ('sr3d_jax.io.', 'sr3d_jax.io.quantized'),
  ('sr3d_jax.io.splat_files', 'sr3d_jax.io.'),
  ('sr3d_jax.io.meshes', 'sr3d_jax.raycast'),
  ('sr3d_jax.io.photographs', 'sr3d_jax.io.'),
  ('sr3d_jax.io.photographs', 'sr3d_jax.image'),
)
MAX_LINES = 400
MACHINE_PATH = re.compile(r'(?<![\w./:}~])/(?:home|root|Users|work|tmp|mnt)/\w')


def _files(folders: str, pattern: str = '*.py') -> list[pathlib.Path]:
  found = (
    p for folder in folders.split() for p in (ROOT / folder).rglob(pattern)
  )
  return sorted(found)


def _relative(path: pathlib.Path) -> str:
  return path.relative_to(ROOT).as_posix()


def _module(path: pathlib.Path) -> str:
  parts = path.relative_to(ROOT).with_suffix('').parts
  parts = ('sr3d_kernels', *parts[1:]) if parts[0] == 'kernels' else parts
  return '.'.join(part for part in parts if part != '__init__')


SOURCES = _files('sr3d_jax kernels experiments')
CONFIGS = _files('configs')
TESTS = _files('tests')
MODULES = {_module(path): path for path in SOURCES + CONFIGS}


def _imports(path: pathlib.Path, module: str) -> set[str]:
  """Our own modules that a file imports, at its top or inside functions."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f'{module}: write imports in full, not with a dot'
      for alias in node.names:
        whole = f'{node.module}.{alias.name}'
        found.add(whole if whole in MODULES else node.module)
  return {name for name in found if name in MODULES}


def _floor(module: str) -> int:
  parts = module.split('.')
  word = parts[1] if parts[0] == 'sr3d_jax' else parts[0]
  assert word in FLOOR, f'{module} has no floor: add it to FLOORS and STYLE.md'
  return FLOOR[word]


def _allowed(upper: str, lower: str) -> bool:
  """Whether the first module may import the second."""
  exception = any(
    upper.startswith(a) and lower.startswith(b) for a, b in ALLOWED
  )
  return exception or _floor(lower) < _floor(upper)


def test_every_file_has_a_floor():
  for module in MODULES.keys() - {'sr3d_jax'}:
    assert module.startswith('configs') or _floor(module) >= 0


def test_files_import_only_from_lower_floors():
  wrong = [
    f'{module} imports {name}'
    for module, path in MODULES.items()
    for name in _imports(path, module) - {'sr3d_jax', module}
    if not module.startswith('configs')
    and (name.startswith('configs') or not _allowed(module, name))
  ]
  assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize(
  'upper, lower, allowed',
  [
    ('sr3d_jax.io.ply', 'sr3d_jax.types', True),
    ('sr3d_jax.types', 'sr3d_jax.numerics', False),
    ('sr3d_jax.io.ply', 'sr3d_jax.geometry', False),
    ('sr3d_jax.models.edsr', 'sr3d_jax.models.blocks', True),
    ('sr3d_jax.models.edsr', 'sr3d_jax.models.unet', False),
    ('sr3d_jax.fit', 'sr3d_jax.priors.bicubic', False),
    ('sr3d_kernels.rasterize.xla', 'sr3d_kernels.tiles', True),
    ('sr3d_jax.io.ply', 'sr3d_kernels.rasterize.constants', True),
    ('sr3d_jax.io.ply', 'sr3d_kernels.tiles', False),
    ('sr3d_jax.fit', 'experiments.super_resolve', False),
  ],
)
def test_the_rule_itself(upper, lower, allowed):
  assert _allowed(upper, lower) == allowed


def test_kernels_know_nothing_of_the_rest():
  for path in _files('kernels'):
    names = _imports(path, _module(path))
    assert all(name.startswith('sr3d_kernels') for name in names), path


def test_the_faintest_splat_that_is_drawn_is_defined_once():
  constant = re.compile(r'^\w+ = .*\b(1 / 255|254)\b', re.M)
  found = [_relative(p) for p in SOURCES if constant.search(p.read_text())]
  assert found == ['kernels/rasterize/constants.py']


def test_configs_import_only_configs():
  for path in CONFIGS:
    names = _imports(path, _module(path))
    assert all(name.startswith('configs') for name in names), path


def test_no_file_is_longer_than_400_lines():
  lengths = {
    _relative(path): len(path.read_text().splitlines())
    for path in SOURCES + CONFIGS + TESTS
  }
  assert not {path: n for path, n in lengths.items() if n > MAX_LINES}


def test_public_names_are_documented():
  bare = []
  for path in SOURCES:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.ClassDef)
    nodes = [node for node in tree.body if isinstance(node, kinds)]
    public = [n for n in nodes if n.name[0] != '_' and n.name != 'main']
    if tree.body and not ast.get_docstring(tree):
      bare.append(_relative(path))
    bare += [
      f'{_relative(path)}:{node.lineno} {node.name}'
      for node in public
      if not ast.get_docstring(node)
    ]
  assert not bare, '\n'.join(bare)


def test_every_test_file_has_tests_and_a_name_of_its_own():
  names = collections.Counter(path.name for path in TESTS)
  assert not [name for name, count in names.items() if count > 1]
  for path in TESTS:
    defined = [
      node.name
      for node in ast.walk(ast.parse(path.read_text()))
      if isinstance(node, ast.FunctionDef)
    ]
    has_tests = any(name.startswith('test_') for name in defined)
    assert has_tests == path.name.endswith('_test.py'), _relative(path)


def test_no_file_names_a_place_on_one_machine():
  texts = SOURCES + CONFIGS + TESTS + _files('docs', '*.md')
  texts += [p for p in ROOT.glob('*') if p.suffix in ('.md', '.py', '.toml')]
  texts += [ROOT / name for name in ('Makefile', 'uv.lock', '.ci/run')]
  wrong = [
    f'{_relative(path)}:{i}: {line.strip()}'
    for path in texts
    if path.exists()
    for i, line in enumerate(path.read_text().splitlines(), 1)
    if MACHINE_PATH.search(line)
  ]
  assert not wrong, '\n'.join(wrong)
