"""Checkpoints that survive a kill at any moment (orbax).

A checkpoint is written beside the previous ones and renamed when it is whole;
one that cannot be written (a full disk) leaves the previous one in place. One
process writes and reads: of many hosts, the first.
"""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from sr3d_jax.types import Params, TrainState

KEPT = 2  # the newest, and one to fall back on

_STORAGE_ERROR = re.compile(r"os_error_code='(\d+)'")  # of tensorstore


class Store:
  """Numbered checkpoints of one fit in one folder."""

  def __init__(self, folder: str | pathlib.Path):
    folder = pathlib.Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
      primary_host=this, active_processes={this}
    )
    self._manager = ocp.CheckpointManager(
      folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=KEPT,
        create=False,
        enable_async_checkpointing=False,
        multiprocessing_options=alone,
      ),
    )

  def __enter__(self) -> 'Store':
    return self

  def __exit__(self, *_) -> None:
    self._manager.close()

  @property
  def latest(self) -> int | None:
    """The newest checkpoint's step; None where there is none."""
    return self._manager.latest_step()

  def restore(self, like: TrainState) -> TrainState | None:
    """The newest checkpoint, shaped like `like`; None where there is none."""
    step = self._manager.latest_step()
    if step is None:
      return None
    try:
      return self._manager.restore(
        step, args=ocp.args.StandardRestore(_on_host(like))
      )
    except (ValueError, KeyError) as error:
      raise ValueError(
        f'checkpoint {step} in {self._manager.directory} does not have the '
        'shapes that this config asks for: use another --workdir'
      ) from error

  def params(self) -> dict[int, Params]:
    """The parameters alone of every checkpoint that is kept, by its step."""
    return {
      step: self._manager.restore(step, args=ocp.args.StandardRestore())[
        'params'
      ]
      for step in self._manager.all_steps()
    }

  def save(self, step: int, state: TrainState) -> None:
    """Writes checkpoint `step`; on failure the previous one survives."""
    args = ocp.args.StandardSave(_on_host(state))
    try:
      with _quietly():
        self._manager.save(step, args=args, force=True)
    except (OSError, ValueError) as error:
      reason = _storage_reason(error)
      if reason is None:
        raise
      folder = self._manager.directory
      # What was half written would fill the disk that was full already.
      for part in folder.glob(f'{step}.*'):
        shutil.rmtree(part, ignore_errors=True)
      latest = self._manager.latest_step()
      safe = 'none is kept' if latest is None else f'step {latest} is safe'
      raise OSError(
        f'could not write checkpoint {step} in {folder} ({reason}): free some '
        f'space and run the same command again; {safe}'
      ) from error


def _on_host(state: TrainState) -> TrainState:
  """Copies arrays to the host: orbax keeps no array of one of many hosts."""
  return jax.tree.map(np.asarray, jax.block_until_ready(state))


def _storage_reason(error: Exception) -> str | None:
  """What the operating system said; None where it was not the disk."""
  if isinstance(error, OSError):
    return error.strerror or str(error)
  found = _STORAGE_ERROR.search(str(error))
  return os.strerror(int(found[1])) if found else None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
  """Keeps orbax from logging a page about an error that we put in a line."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.FATAL)
  try:
    yield
  finally:
    logging.set_verbosity(before)
