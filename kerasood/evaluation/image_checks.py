"""Refusals of images that a model was not made for, before anything is computed."""

from kerasood.errors import InvalidInputError


def check_shapes(subjects, sources):
    """Refuses images of another size than a model takes: some models answer them all the same.

    Raises:
        ValueError: an image of a source does not fit.
    """
    for name, source in sources.items():
        images, _ = next(iter(source.batches(1)))
        for subject in subjects:
            expected = tuple(subject.extractor.inputs[0].shape[1:])
            pairs = zip(images.shape[1:], expected, strict=False)
            if len(expected) != 3 or any(None not in pair and pair[0] != pair[1] for pair in pairs):
                raise InvalidInputError(
                    f"Expected images of shape {expected}, which {subject.label!r} takes. "
                    f"Received: shape={images.shape[1:]} in {name!r}"
                )


def check_labels(subjects, sources):
    """Refuses labels that are not the numbers of the models' outputs.

    Args:
        subjects: list of Subjects.
        sources: ImageSources; None and those without labels pass.

    Raises:
        ValueError: a source has another number of named classes than a model has outputs, or
            labels beyond them.
    """
    for source in sources:
        for subject in subjects if source is not None and source.num_classes else ():
            outputs = subject.extractor.compute_output_shape(subject.extractor.inputs[0].shape)
            check_classes(source, outputs["logits"][-1], subject.label)


def check_classes(source, num_outputs, model="the model"):
    """As `check_labels`, of one source and the number of a model's outputs."""
    if source.class_names and source.num_classes != num_outputs:
        raise InvalidInputError(
            f"{source.name}: expected images of the {num_outputs} classes of {model}; name the "
            "outputs in their order (class_names) if the images lack some. Received: "
            f"{source.num_classes} classes ({', '.join(source.class_names[:20])})"
        )
    if source.num_classes > num_outputs:
        raise InvalidInputError(
            f"Expected labels from 0 to {num_outputs - 1} in {source.name!r}, the outputs of "
            f"{model}. Received: a label {source.num_classes - 1}"
        )
