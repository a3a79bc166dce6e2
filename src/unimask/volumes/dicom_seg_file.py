"""DICOM SEG files of label maps, which refer to the images they were made from."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from unimask.errors import OutputError, SettingsError, one_line
from unimask.extras import import_extra
from unimask.processing.dicom_file import read_dataset, text
from unimask.version import __version__
from unimask.volumes.volume import Volume

ATTRIBUTES = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""Elements of the images that a DICOM SEG is made from; nothing else can reach the output."""

UIDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)
"""Elements of the images to which a DICOM SEG refers."""

EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
"""Elements that every image must have, and that are empty in ours."""


def seg_bytes(
    classes: Integer[np.ndarray, "i j k"], values: Mapping[str, int], volume: Volume
) -> bytes:
    """Encode a map of classes as a binary DICOM SEG, one segment for each class that occurs.

    It refers to the images by their UIDs, and contains neither the patient's name, id, dates nor
    private elements.

    Raises:
        MissingExtraError: highdicom is not installed.
        OutputError: The images lack what a DICOM SEG needs.
        SettingsError: There are no labels.
    """
    seg = import_extra("highdicom.seg", "medical")
    uid = import_extra("highdicom.uid", "medical")
    present = {name: value for name, value in values.items() if (classes == value).any()}
    if not present:
        raise SettingsError(f"{volume.name}: nothing was found, so there is no DICOM SEG to write")
    try:
        dataset = seg.Segmentation(
            source_images=source_images(volume),
            pixel_array=segment_frames(classes, present, volume),
            segmentation_type="BINARY",
            segment_descriptions=[
                describe(seg, number, name) for number, name in enumerate(present, start=1)
            ],
            series_instance_uid=uid.UID(),
            series_number=1000,
            sop_instance_uid=uid.UID(),
            instance_number=1,
            manufacturer="unimask",
            manufacturer_model_name="unimask",
            software_versions=__version__,
            device_serial_number="0",
        )
    except (MemoryError, OutputError, SettingsError):
        raise
    except Exception as error:  # highdicom raises many kinds of errors
        message = f"{volume.name}: a DICOM SEG cannot be written ({one_line(error)})"
        raise OutputError(message) from error
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def source_images(volume: Volume) -> list[Any]:
    """Return what a DICOM SEG may know of the images, in the order of the slices.

    There is one data set of a multi-frame file.

    Raises:
        OutputError: An image lacks a UID to which a DICOM SEG refers.
    """
    dataset = import_extra("pydicom.dataset", "medical")
    images = []
    for path in dict.fromkeys(volume.files):
        source = read_dataset(path, str(path), pixels=False)
        image = dataset.Dataset()
        image.file_meta = source.file_meta
        for keyword in ATTRIBUTES:
            if keyword in source:
                image[keyword] = source[keyword]
        for keyword in EMPTY:
            setattr(image, keyword, "")
        image.SpecificCharacterSet = "ISO_IR 192"
        complete_uids(image, path.name)
        images.append(image)
    return images


def complete_uids(image: Any, name: str) -> None:
    """Fill in empty UIDs of the image from the header of its file.

    Raises:
        OutputError: UIDs to which a DICOM SEG refers are in neither.
    """
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not text(image, keyword):
            setattr(image, keyword, text(image.file_meta, f"MediaStorage{keyword}"))
    for keyword in UIDS:
        if not text(image, keyword):
            raise OutputError(f"{name} has no {keyword}, so that no DICOM SEG can refer to it")


def segment_frames(
    classes: Integer[np.ndarray, "i j k"], present: Mapping[str, int], volume: Volume
) -> UInt8[np.ndarray, "n h w"]:
    """Return the numbers of segments, in the order of the frames of the source images.

    Raises:
        SettingsError: There are more segments than their numbers can hold.
    """
    if len(present) > 255:
        raise SettingsError(f"{len(present)} classes were found: a DICOM SEG of unimask holds 255")
    numbers = np.zeros(max(present.values()) + 1, np.uint8)
    for number, value in enumerate(present.values(), start=1):
        numbers[value] = number
    known = np.where(classes < len(numbers), classes, 0)
    slices = numbers[known].transpose(2, 1, 0)
    if len(set(volume.files)) == 1:
        order = np.argsort(volume.frames)
        slices = slices[order]
    return np.ascontiguousarray(slices)


def describe(seg: Any, number: int, name: str) -> Any:
    """Return the description of a segment; its category and type are the general "tissue"."""
    codes = import_extra("pydicom.sr.codedict", "medical").codes
    content = import_extra("highdicom.content", "medical")
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=content.AlgorithmIdentificationSequence(
            name="unimask", version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
    )
