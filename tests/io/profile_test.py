"""Wall time is shared out among instructions, and each knows its line."""

import jax
import jax.numpy as jnp
import pytest

from sr3d_jax.io import profile


def wave(x):
  return jnp.sin(x @ x)


def both_ways(x):
  return jax.vjp(wave, x)[1](x)


@pytest.fixture(scope='module')
def program():
  return jax.jit(both_ways).lower(jnp.ones((300, 300))).compile()


def test_a_moment_belongs_to_the_innermost_of_each_thread():
  events = [
    profile.Event(0, 0, 4e9, 'loop'),
    profile.Event(0, 1e9, 2e9, 'body'),
    profile.Event(1, 1e9, 3e9, 'other'),
    profile.Event(0, 5e9, 6e9, 'last'),
  ]
  # 0 to 1: loop; to 2: body, other; to 3: loop, other; to 4: loop; then none.
  assert profile.share(events) == pytest.approx(
    {'loop': 2.5, 'body': 0.5, 'other': 1, profile.IDLE: 1, 'last': 1}
  )


def test_an_instruction_knows_its_calls_and_its_direction(program):
  origins = profile.origins(program.as_text()).values()
  products = [x for x in origins if x.scope.endswith('dot_general')]
  assert {x.is_backward for x in products} == {True, False}
  for origin in products:
    names = [frame.rpartition('/')[2] for frame in origin.frames]
    assert names[0] == 'profile_test.py:wave'
    assert 'profile_test.py:both_ways' in names[1:]


def test_what_ran_is_what_was_compiled(program):
  x = jnp.ones((300, 300))
  seconds = profile.watch(lambda: program(x))
  ran = seconds.keys() - {profile.IDLE}
  known = profile.origins(program.as_text())
  assert any(
    known[name].scope.endswith('dot_general') for name in ran & known.keys()
  )
  assert all(value > 0 for value in seconds.values())


def test_a_text_without_lines_of_code_says_so():
  with pytest.raises(ValueError, match='has no FileNames'):
    profile.origins('HloModule jit_f\n\nENTRY %main {\n}\n')
