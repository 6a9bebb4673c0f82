"""`uv.lock` is fresh, public, hashed, and serves both Pythons.

Refresh it with `UV_DEFAULT_INDEX=https://pypi.org/simple uv lock`.
"""

import ast
import pathlib
import re
import subprocess
import tomllib

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / 'uv.lock').read_text()
IMPORTED_AS = {
  'absl-py': 'absl',
  'orbax-checkpoint': 'orbax',
  'pillow': 'PIL',
  'scikit-image': 'skimage',
}
PACKAGES = tomllib.loads(TEXT)['package']


def _locked(name: str, python: str) -> list[str]:
  """The versions of a package that a Python would install."""
  environment = {'python_full_version': f'{python}.0', 'python_version': python}
  return [
    package['version']
    for package in PACKAGES
    if package['name'] == name
    and any(
      Marker(marker).evaluate(environment)
      for marker in package.get('resolution-markers', ["os_name != ''"])
    )
  ]


@pytest.mark.parametrize('python, jax', [('3.11', '0.10.'), ('3.12', '0.12.')])
def test_each_python_gets_one_jax_of_its_own(python, jax):
  for name in ('jax', 'jaxlib'):
    (version,) = _locked(name, python)
    assert version.startswith(jax)


def test_only_the_public_index_is_named():
  hosts = set(re.findall(r'[a-z]+://[^/"]+', TEXT))
  assert hosts == {'https://pypi.org', 'https://files.pythonhosted.org'}
  sources = [package['source'] for package in PACKAGES]
  public = {'registry': 'https://pypi.org/simple'}
  assert [s for s in sources if s != public] == [{'editable': '.'}]


def test_every_file_has_a_hash():
  for package in PACKAGES:
    for file in filter(
      None, [*package.get('wheels', []), package.get('sdist')]
    ):
      assert file['hash'].startswith('sha256:'), package['name']


def test_the_lock_knows_exactly_what_setup_asks_for():
  extras = {'': _constant('REQUIRED'), **_constant('EXTRAS')}
  asked = [
    (e, Requirement(line)) for e, lines in extras.items() for line in lines
  ]
  (ours,) = (p for p in PACKAGES if p['name'] == 'sr3d-jax')
  locked = {
    (
      ''.join(re.findall("extra == '(.*)'", need.get('marker', ''))),
      need['name'],
      ''.join(need.get('extras', [])),
      need.get('specifier', ''),
    )
    for need in ours['metadata']['requires-dist']
  }
  assert locked == {
    (extra, _dashed(r.name), ''.join(r.extras), _as_locked(r))
    for extra, r in asked
  }


def test_whatever_is_installed_by_default_is_imported_somewhere():
  extras = _constant('EXTRAS')
  lines = [*_constant('REQUIRED'), *extras['data'], *extras['eval']]
  folders = ('sr3d_jax', 'kernels', 'experiments', 'configs', 'tests')
  files = [path for folder in folders for path in (ROOT / folder).rglob('*.py')]
  text = '\n'.join(path.read_text() for path in files)
  imported = r"^\s*(import|from) {0}\b|(import_module|importorskip)\('{0}\b"
  for name in (Requirement(line).name for line in lines):
    module = IMPORTED_AS.get(name, name.replace('-', '_'))
    assert re.search(imported.format(module), text, re.M), name


def test_make_installs_again_when_the_lock_has_changed(tmp_path):
  stamp = tmp_path / '.installed'
  stamp.touch()
  ask = ['make', '--question', f'VENV={tmp_path}', str(stamp)]
  for changed, code in (([], 0), (['--what-if=uv.lock'], 1)):
    assert subprocess.run([*ask, *changed], cwd=ROOT).returncode == code


def test_package_data_is_there():
  (data,) = re.findall(r'package_data=({.*?})', (ROOT / 'setup.py').read_text())
  for package, patterns in ast.literal_eval(data).items():
    for pattern in patterns:
      assert any((ROOT / package).glob(pattern)), pattern


def _constant(name: str) -> object:
  """A literal of setup.py, which cannot be imported without running it."""
  for node in ast.parse((ROOT / 'setup.py').read_text()).body:
    if isinstance(node, ast.Assign) and node.targets[0].id == name:
      return ast.literal_eval(node.value)


def _dashed(name: str) -> str:
  return re.sub('[-_.]+', '-', name).lower()


def _as_locked(requirement: Requirement) -> str:
  """A specifier with its bounds in the order in which uv writes them."""
  bounds = sorted(map(str, requirement.specifier), reverse=True)
  return ','.join(bounds)
