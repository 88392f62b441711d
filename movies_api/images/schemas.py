"""Schemas of the image routes."""

from marshmallow import fields, validate

from ..api.fields import (
    BoundedInteger,
    QuerySchema,
    RequestSchema,
    ResponseSchema,
    none_default,
    one_of,
)
from .codec import FORMATS, WIDTHS

SIGNATURE = "7d0c9e52.2f8a4b61.image/jpeg.245760.aXqF9w.Jm4uQ2sT8oXbZ1"
UPLOADED = f"https://api.example.com/images/{'7d0c9e52' * 4}"


class UploadCreateSchema(RequestSchema):
    """Type and size of the file to upload."""

    content_type = fields.String(
        required=True, validate=one_of(*FORMATS), metadata={"example": "image/jpeg"}
    )
    size = BoundedInteger(
        min=1,
        max=2**40,
        required=True,
        metadata={
            "example": 245760,
            "description": "Exact size in bytes, at most IMAGE_MAX_BYTES.",
        },
    )


class UploadUrlSchema(ResponseSchema):
    """How to upload: a PUT with these headers, or a POST of a form with these fields."""

    upload_url = fields.Url(metadata={"example": f"{UPLOADED}?signature={SIGNATURE}"})
    method = fields.String(validate=validate.OneOf(["PUT", "POST"]), metadata={"example": "PUT"})
    headers = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"optional": True, "example": {"Content-Type": "image/jpeg"}},
    )
    fields_ = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={
            "optional": True,
            "description": "Form fields to send before the field `file` with the file.",
            "example": {},
        },
    )
    image_url = fields.Url(
        metadata={
            "description": "The imageUrl for a movie after the upload.",
            "example": UPLOADED,
        }
    )
    expires_at = fields.DateTime(metadata={"example": "2026-01-31T12:10:00.000000Z"})


class UploadedImageSchema(ResponseSchema):
    """URL of the uploaded image."""

    image_url = fields.Url(metadata={"example": f"https://api.example.com/images/{'5c0a4f17' * 8}"})


class UploadQuerySchema(QuerySchema):
    """The signature of an upload URL."""

    signature = fields.String(
        required=True,
        metadata={
            "example": SIGNATURE,
            "description": "Signature in the uploadUrl that POST /images returned.",
        },
    )


class ImageQuerySchema(QuerySchema):
    """The width of a thumbnail."""

    w = BoundedInteger(
        min=WIDTHS[0],
        max=WIDTHS[-1],
        load_default=none_default,
        validate=one_of(*WIDTHS),
        metadata={"description": "Width of a WebP thumbnail in pixels; default: full size."},
    )
