"""python train.py --stage=pretrain|finetune|all: see kerasood/commands/train.py."""

from kerasood.commands.entries import train

if __name__ == "__main__":
    train()
