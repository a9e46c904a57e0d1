"""Small rasters that open: GeoTIFF, PNG, JPEG 2000, netCDF. The only module that needs the extra `demo`."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refsys.core.errors import ConfigurationError

try:
    import h5netcdf
    import numpy as np
    from PIL import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2
except ImportError as error:
    raise ConfigurationError(
        f"sample products need {error.name}", advice="install the extra: pip install 'refsys[demo]'"
    ) from error

Array = np.ndarray[Any, np.dtype[Any]]


def texture(seed: int, rows: int, columns: int) -> Array:
    """Something to look at, 0 to 1: hills at several scales, rivers between them. float64, shape (rows, columns)."""
    random = np.random.default_rng(seed)
    image = np.zeros((rows, columns))
    y, x = np.linspace(0, 1, rows)[:, None], np.linspace(0, 1, columns)[None, :]
    for octave in range(5):
        cells = 3 * 2**octave
        grid = random.standard_normal((cells + 2, cells + 2))
        image += _bilinear(grid, y * cells, x * cells) / 1.8**octave
    ridged = np.abs(image / np.abs(image).max())
    noisy: Array = np.clip(ridged**0.7 + 0.05 * random.standard_normal((rows, columns)), 0, 1)
    return noisy


def _bilinear(grid: Array, y: Array, x: Array) -> Array:
    row, column = y.astype(int), x.astype(int)
    fy, fx = y - row, x - column
    top = grid[row, column] * (1 - fx) + grid[row, column + 1] * fx
    bottom = grid[row + 1, column] * (1 - fx) + grid[row + 1, column + 1] * fx
    blended: Array = top * (1 - fy) + bottom * fy
    return blended


def numbers(image: Array, largest: int) -> Array:
    """0 to 1 scaled to whole numbers 1 to `largest`, uint16 (0 stands for no data)."""
    return (1 + image * (largest - 1)).astype(np.uint16)


def geotiff(image: Array, tie_points: Sequence[tuple[float, float, float, float]], description: str) -> bytes:
    """A GeoTIFF in WGS 84 located by tie points (column, row, longitude, latitude), as Sentinel-1 measurements are."""
    tags = ImageFileDirectory_v2()
    tags[270] = description
    # OGC 19-008r4: ModelTiepointTag (i, j, k, x, y, z); GeoKeyDirectoryTag: geographic 2D, pixel is area, EPSG 4326
    tags[33922] = tuple(value for i, j, x, y in tie_points for value in (i, j, 0.0, x, y, 0.0))
    tags.tagtype[33922] = 12
    tags[34735] = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)
    tags.tagtype[34735] = 3
    out = io.BytesIO()
    Image.fromarray(image).save(out, "TIFF", tiffinfo=tags)
    return out.getvalue()


def png(*bands: Array) -> bytes:
    """A picture of one (grey) or three (colour) bands, 0 to 1."""
    return _picture(bands, "PNG")


def jp2_picture(*bands: Array) -> bytes:
    """The same as JPEG 2000 (true-colour images, previews)."""
    return _picture(bands, "JPEG2000")


def _picture(bands: Sequence[Array], kind: str) -> bytes:
    levels = [(np.clip(band, 0, 1) * 255).astype(np.uint8) for band in bands]
    out = io.BytesIO()
    Image.fromarray(levels[0] if len(levels) == 1 else np.dstack(levels)).save(out, kind)
    return out.getvalue()


def jp2(image: Array) -> bytes:
    """One band as lossless JPEG 2000, uint8 or uint16."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG2000", irreversible=False)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class Variable:
    """A netCDF variable: values, the names of its dimensions, attributes (units, standard_name, scale_factor …)."""

    values: Array
    dimensions: tuple[str, ...]
    attributes: Mapping[str, str | float | int] = field(default_factory=dict)


def netcdf(variables: Mapping[str, Variable], attributes: Mapping[str, str | int | float]) -> bytes:
    """A netCDF-4 file; dimensions take their lengths from the variables. Equal input gives equal bytes."""
    out = io.BytesIO()
    with h5netcdf.File(out, "w") as file:
        for variable in variables.values():
            for name, length in zip(variable.dimensions, variable.values.shape, strict=True):
                if name not in file.dimensions:
                    file.dimensions[name] = length
        for name, variable in variables.items():
            target = file.create_variable(
                name, variable.dimensions, data=variable.values, compression="gzip", compression_opts=4, shuffle=True
            )
            for key, value in variable.attributes.items():
                target.attrs[key] = value
        for key, value in attributes.items():
            file.attrs[key] = value
    return out.getvalue()
