"""How configs of tables of scenes lay out columns and published rows."""

Measure = tuple[str, str, int]  # name, heading, digits


def columns(
  scenes: tuple[str, ...], measures: tuple[Measure, ...]
) -> tuple[dict, ...]:
  """A column for each measure, the mean over some scenes."""
  return tuple(column(*measure, scenes) for measure in measures)


def column(
  measure: str, heading: str, digits: int, scenes: tuple[str, ...]
) -> dict:
  """One column."""
  return {
    'measure': measure,
    'heading': heading,
    'digits': digits,
    'scenes': scenes,
  }


def table(
  name: str,
  title: str,
  notes: str,
  columns: tuple[dict, ...],
  figures: tuple[dict, ...],
) -> dict:
  """One table; published rows may lack the last columns, which only we have."""
  return {
    'name': name,
    'title': title,
    'notes': notes,
    'columns': columns,
    'published': tuple(_padded(row, len(columns)) for row in figures),
  }


def _padded(row: dict, length: int) -> dict:
  values = row['values']
  return {**row, 'values': values + (None,) * (length - len(values))}
