"""python train.py --stage=pretrain|finetune|all: see kerasood/commands/train.py."""

from kerasood.commands.train import main

if __name__ == "__main__":
    main()
