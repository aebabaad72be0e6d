"""Packaging; settings of the tools are in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "kerasood/__init__.py").read_text(encoding="utf-8"), re.M
)

setup(
    name="kerasood",
    version=VERSION.group(1),
    description="Out-of-distribution detection for Keras 3 that ships inside the exported graph",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["kerasood", "kerasood.*"]),
    package_data={
        "kerasood.export.deploy": ["*", "grafana/*/*"],
        "kerasood.networks.zoo": ["networks/*.json", "networks/*.npz"],
    },
    install_requires=[
        "absl-py>=2.1",
        "importlib_resources",  # tensorflow-datasets imports it without asking for it
        "keras>=3.12",  # earlier safe modes could be got round
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pillow>=10.1",
        "rich>=13",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "tensorboard>=2.18",  # tf.summary does nothing without it
        "tensorflow>=2.18",
        "tensorflow-datasets>=4.9.7",
    ],
    extras_require={
        "tflite": ["ai-edge-litert>=1.2"],
        "onnx": ["onnx>=1.17", "onnxruntime>=1.20", "tf2onnx>=1.16.1"],
        "openvino": ["openvino>=2025.0"],
        "jax": ["jax>=0.4.30"],
        # Beside tensorflow-cpu install it with --no-deps: it asks for the distribution tensorflow.
        "serving": ["tensorflow-serving-api>=2.18"],
        "safetensors": ["safetensors>=0.4"],
        "torch": ["torch>=2.10"],  # in earlier ones a checkpoint can get round weights_only
        # Compared with in a slow test and a benchmark; needs PyTorch and torchvision to match.
        "peers": ["pytorch-ood==0.4.0", "torch>=2.10"],
        "dev": [
            "ai-edge-litert>=1.2",
            "jax>=0.4.30",
            "psutil",
            "pytest>=8",
            "pyyaml>=6",
            "ruff>=0.6",
            "safetensors>=0.4",
        ],
    },
    entry_points={
        "console_scripts": [
            "kerasood-train = kerasood.commands.train:main",
            "kerasood-evaluate = kerasood.commands.evaluate:main",
            "kerasood-export = kerasood.commands.export:main",
            "kerasood-convert = kerasood.commands.convert:main",
        ]
    },
)
