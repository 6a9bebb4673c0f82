"""What a row of a run says about how it is made."""

from typing import NamedTuple

import pytest

from sr3d_jax import methods, trust


class _Prior(NamedTuple):
  num_steps: int
  section: dict


def _build(kind, section):
  if kind == 'priors':
    return _Prior(section.get('num_steps', 1), section)
  return kind, section


def _make(section):
  return methods.make(
    'row',
    section,
    prior=lambda word: {'name': word, 'num_steps': 4, 'state': 'carried'},
    build=_build,
    representation={'name': 'gaussians', 'capacity': 10},
    fit={'num_steps': 10, 'chunk': 5},
  )


def test_a_row_changes_what_it_names_and_nothing_else():
  made = _make(
    {
      'prior': 'diffusion',
      'settings': {'state': 'stale'},
      'representation': {'capacity': 7},
      'fit': {'chunk': 2},
      'anchor_weight': 0.5,
    }
  )
  assert made.prior.section == {
    'name': 'diffusion', 'num_steps': 4, 'state': 'stale',
  }  # fmt: skip
  kind, section = made.representation
  assert kind == 'representations'
  assert section == {'name': 'gaussians', 'capacity': 7}
  assert made.fit == ({'chunk': 2},) * 4
  assert made.anchor_weight == 0.5


def test_rows_cost_alike():
  assert _make({'prior': 'diffusion'}).steps == (2, 2, 2, 4)
  assert _make({'prior': {'name': 'bicubic'}}).steps == (10,)
  assert sum(methods.shares(2003, 4)) == 2003


def test_a_step_may_pass_unheard():
  made = _make({'prior': 'diffusion', 'steps': (0, 0, 0, 10)})
  assert made.steps == (0, 0, 0, 10)


@pytest.mark.parametrize(
  'section, words',
  [
    ({}, 'must have a prior'),
    ({'prior': 'diffusion', 'anker': 1}, 'anker'),
    ({'prior': 'diffusion', 'steps': (1, 2)}, 'each of the 4 steps'),
    ({'prior': 'diffusion', 'steps': (1, 1, 1, 0)}, 'the last above 0'),
    ({'prior': 'diffusion', 'steps': (1, -1, 1, 1)}, 'got'),
  ],
)
def test_what_does_not_fit_is_said(section, words):
  with pytest.raises(ValueError, match=words):
    _make(section)


def test_a_tuple_has_a_value_for_each_fit():
  window = {'refine_stop': (350, 350, 0, 0), 'chunk': 25}
  stages = _make({'prior': 'diffusion', 'fit': window}).fit
  assert [stage['refine_stop'] for stage in stages] == [350, 350, 0, 0]
  assert all(stage['chunk'] == 25 for stage in stages)
  with pytest.raises(ValueError, match='must give refine_stop one value, or'):
    _make({'prior': 'diffusion', 'fit': {'refine_stop': (350, 0)}})


def test_a_row_names_its_trust():
  rule = {'name': 'residual', 'sigma': 1.0}
  made = _make({'prior': 'diffusion', 'trust': rule})
  assert made.trust.func is trust.residual
  assert made.trust.keywords == {'sigma': 1.0}
  assert _make({'prior': 'diffusion'}).trust is None


def test_parts_of_one_fit_follow_each_other():
  steps = (5, 0, 10, 20)
  parts = [methods.span(steps, stage, True) for stage in (0, 2, 3)]
  assert parts == [{'first': n, 'total': 35} for n in (0, 5, 15)]
  assert methods.span(steps, 2, False) == {'first': 0, 'total': 10}
