"""Runs the export command."""

from kerasood.commands.export import main

if __name__ == "__main__":
    main()
