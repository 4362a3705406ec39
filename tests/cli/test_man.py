"""``truthvouch man``: one page that names every command and option, and that no sign can break."""

import re
import shutil
import subprocess

import click
import pytest
from click.testing import CliRunner

from app.cli import leaves, main
from app.cli.man import page

REQUESTS = {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".BR", ".I", ".ad", ".nh"}


def test_every_command_and_every_option_is_on_the_page():
    said = CliRunner().invoke(main, ["man"]).stdout.replace(r"\-", "-")
    for name, command in leaves(main, "truthvouch"):
        if command.hidden:
            continue
        _, found, section = said.partition(f'.SS "{name} ')
        assert found, name
        for option in command.params:
            if isinstance(option, click.Option):
                assert f'"{option.opts[0]}' in section.partition(".SS")[0], (name, option.opts)


@click.group(help="Group of the test.")
def hostile() -> None: ...


@hostile.command(help=""".TH is no request; 'single', "double", `ticks`, a\\back-slash, ~ and ^, → arrow.""")
@click.option("--what", help="'Twas a quote.")
def command(what: str) -> None: ...


@pytest.mark.parametrize("group", [main, hostile], ids=["ours", "hostile"])
def test_no_sign_is_taken_for_a_request(group: click.Group):
    roff = page(group)
    assert roff.isascii()
    for line in roff.splitlines():
        assert not line.startswith("'"), line
        assert not line.startswith(".") or line.split()[0] in REQUESTS, line
    for escape in re.findall(r"\\(.)", roff):
        assert escape in "(-&[f", escape


@pytest.mark.parametrize("command", [["groff", "-man", "-Tutf8", "-ww"], ["mandoc", "-T", "lint", "-W", "warning"]])
def test_formatters_have_nothing_to_complain_of(command: list[str]):
    """Where there is one: the page needs none to be made."""
    if shutil.which(command[0]):
        answer = subprocess.run(command, input=page(hostile), capture_output=True, text=True, timeout=60)
        ours = subprocess.run(command, input=page(main), capture_output=True, text=True, timeout=60)
        assert ("", "") == (answer.stderr, ours.stderr)
        if command[0] == "groff":
            shown = " ".join(answer.stdout.split())
            assert """.TH is no request; 'single', "double", `ticks`, a\\back-slash, ~ and ^, → arrow.""" in shown
            assert "'Twas a quote." in shown
        else:
            lint = [line for line in (answer.stdout + ours.stdout).splitlines() if "missing date" not in line]
            assert [] == lint
