"""The options by which commands select products."""

from __future__ import annotations

from typing import Annotated

import typer

Name = Annotated[
    str, typer.Option("--name", "-n", help="a piece of the name, or a pattern with * and ?", show_default=False)
]
Type = Annotated[str, typer.Option("--type", "-t", help="product type, for example IW_GRDH_1S", show_default=False)]
Since = Annotated[str, typer.Option(help="described since: a date, or 30m, 6h, 2d ago", show_default=False)]
Filter = Annotated[
    str, typer.Option("--filter", "-f", help="OData filter; State, Type, Platform, Timeliness too", show_default=False)
]
