"""Checkpoints that survive a kill at any moment (orbax).

A checkpoint is written beside the previous ones and renamed when it is whole;
one that cannot be written (a full disk) leaves the previous one in place.
"""

import pathlib

import jax
import orbax.checkpoint as ocp

from sr3d_jax.types import TrainState

KEPT = 2  # the newest, and one to fall back on


class Store:
  """Numbered checkpoints of one fit in one folder."""

  def __init__(self, folder: str | pathlib.Path):
    self._manager = ocp.CheckpointManager(
      pathlib.Path(folder).absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=KEPT, create=True, enable_async_checkpointing=False
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
      return self._manager.restore(step, args=ocp.args.StandardRestore(like))
    except (ValueError, KeyError) as error:
      raise ValueError(
        f'checkpoint {step} in {self._manager.directory} does not have the '
        'shapes that this config asks for: use another --workdir'
      ) from error

  def save(self, step: int, state: TrainState) -> None:
    """Writes checkpoint `step`; on failure the previous one survives."""
    state = jax.block_until_ready(state)
    try:
      self._manager.save(step, args=ocp.args.StandardSave(state), force=True)
    except OSError as error:
      raise OSError(
        f'could not write checkpoint {step} in {self._manager.directory} '
        f'({error.strerror or error}): free some space and run the same '
        f'command again; step {self._manager.latest_step()} is safe'
      ) from error
