"""`automtl config`: every setting with its type, default and meaning."""

from dataclasses import asdict
from typing import Annotated

import typer

from automtl.cli._options import AsJson
from automtl.cli.console import listed, print_json, print_lines, say


def run(
    section: Annotated[
        str | None,
        typer.Argument(
            metavar="[SECTION]",
            help="data, space, search, retrain, tune, runtime, or run for the rest.",
            show_default="all",
        ),
    ] = None,
    json_schema: Annotated[
        bool,
        typer.Option("--json-schema", help="Print a JSON schema of a --config file, for editors."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Describe the settings of a run: name, default, type and meaning.

    Examples:
        automtl config search
        automtl config --json-schema
    """
    from automtl import config_reference

    if json_schema:
        print_json(config_reference.json_schema())
        return
    sections = (
        config_reference.sections()
        if section is None
        else {section: config_reference.section(section)}
    )
    if as_json:
        print_json({name: [asdict(one) for one in own] for name, own in sections.items()})
        return
    for settings in sections.values():
        for one in settings:
            print_lines(f"{one.path} = {one.default}  ({one.type})\n    {one.meaning}")
    if section is None:
        say(f"one section: automtl config NAME, of {listed(sections, most=len(sections))}")
