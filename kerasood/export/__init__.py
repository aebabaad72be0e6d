"""From an OODModel to files that answer elsewhere as it does here; each loaded when first used."""

import importlib

_PUBLIC = {
    "checks.golden": ("replay", "verify_export"),
    "checks.promise": ("verify_promise",),
    "checks.requests": ("check_signatures",),
    "checks.verify": ("QuantizedReport", "Report", "eager_outputs", "verify", "verify_quantized"),
    "config": ("ExportConfig",),
    "deploy": ("write_deploy",),
    "errors": ("ExportMismatch", "Inexpressible"),
    "exporting": ("Exported", "export_model"),
    "formats": (
        "FORMATS", "available_formats", "describe_signature", "register_format", "run_exported",
    ),
    "formats.base": ("Format",),
    "formats.saved_model": ("load_served",),
    "graph.quantization": ("QUANTIZATIONS", "Quantization"),
    "metadata": ("build_metadata", "read_calibration", "read_metadata", "write_metadata"),
    "runs": ("export_run",),
    "versions": ("VersionExists",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"kerasood.export.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'kerasood.export' has no attribute {name!r}")


def __dir__():
    return __all__
