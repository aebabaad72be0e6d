"""python evaluate.py --ood=all: see kerasood/commands/evaluate.py."""

from kerasood.commands.evaluate import main

if __name__ == "__main__":
    main()
