"""Batches that were made ahead are those that would have been made."""

import threading

import pytest

from sr3d_jax import prefetch


def test_any_order_of_steps_gives_the_same_batches():
  stream = prefetch.ahead(lambda step: {'step': step, 'none': None})
  steps = [0, 1, 2, 7, 8, 3, 3, 4]
  assert [stream(step)['step'] for step in steps] == steps


def test_threads_work_ahead_and_no_further_than_asked():
  made, reached = [], threading.Event()

  def batches(step):
    made.append((step, threading.current_thread()))
    if len(made) == 3:
      reached.set()
    return step

  stream = prefetch.ahead(batches, 2)
  assert stream(10) == 10
  assert reached.wait(600)  # nobody asked for it
  assert sorted(step for step, _ in made) == [10, 11, 12]
  assert threading.current_thread() not in {thread for _, thread in made}


def test_an_error_comes_at_its_own_step_and_each_time():
  def batches(step):
    if step == 2:
      raise OSError('the disk is gone')
    return step

  stream = prefetch.ahead(batches)
  assert [stream(0), stream(1)] == [0, 1]
  for _ in range(2):
    with pytest.raises(OSError, match='the disk is gone'):
      stream(2)


def test_at_least_one_batch_lies_ready():
  with pytest.raises(ValueError, match='must be positive, got 0'):
    prefetch.ahead(lambda step: step, 0)
