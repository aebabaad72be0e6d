"""python evaluate.py --ood=all: see kerasood/commands/evaluate.py."""

from kerasood.commands.entries import evaluate

if __name__ == "__main__":
    evaluate()
