"""Runs the export command."""

from kerasood.commands.entries import export

if __name__ == "__main__":
    export()
